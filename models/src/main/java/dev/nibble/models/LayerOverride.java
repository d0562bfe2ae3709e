package dev.nibble.models;

import java.util.Arrays;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/**
 * Another quantizer for some layers. Of several overrides that match a layer, the last one counts.
 *
 * @param pattern layer name in which {@code *} stands for any characters, dots included: {@code blocks.*.mlp.down}
 * @param choice the quantizer of the layers that match
 */
public record LayerOverride(String pattern, QuantizerChoice choice) {
    /** Checks the pattern. */
    public LayerOverride {
        if (pattern.isBlank()) {
            throw new IllegalArgumentException("the layer pattern of quantizer " + choice.label()
                    + " is empty, but must be a layer name or a" + " pattern such as blocks.*.mlp.down");
        }
    }

    /** {@return whether the layer with this name is meant} */
    public boolean matches(String layer) {
        String regex =
                Arrays.stream(pattern.split("\\*", -1)).map(Pattern::quote).collect(Collectors.joining(".*"));
        return layer.matches(regex);
    }
}
