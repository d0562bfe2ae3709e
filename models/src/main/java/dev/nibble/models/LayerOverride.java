package dev.nibble.models;

import java.util.Arrays;
import java.util.regex.Pattern;
import java.util.stream.Collectors;

/**
 * Another quantizer for some layers, from a moment on. Of several overrides that match a layer at a step, the one with the latest
 * moment counts, and of equal ones the last.
 *
 * @param pattern layer name in which {@code *} stands for any characters, dots included: {@code blocks.*.mlp.down}
 * @param from when it begins to count
 * @param choice the quantizer of the layers that match
 */
public record LayerOverride(String pattern, Moment from, QuantizerChoice choice) {
    private static final char AT = '@';

    /** Checks the pattern. */
    public LayerOverride {
        if (pattern.isBlank()) {
            throw new IllegalArgumentException("the layer pattern of quantizer " + choice.label()
                    + " is empty, but must be a layer name or a" + " pattern such as blocks.*.mlp.down");
        }
    }

    /** Makes an override that counts from the first step on. */
    public LayerOverride(String pattern, QuantizerChoice choice) {
        this(pattern, Moment.START, choice);
    }

    /**
     * Reads a key as recipes and command lines have it.
     *
     * @param key {@code PATTERN} or {@code PATTERN@MOMENT}, as {@link Moment#parse} reads it
     * @throws IllegalArgumentException if it has another form
     */
    public static LayerOverride parse(String key, QuantizerChoice choice) {
        int at = key.lastIndexOf(AT);
        return at < 0
                ? new LayerOverride(key, choice)
                : new LayerOverride(
                        key.substring(0, at), Moment.parse(key.substring(at + 1).strip()), choice);
    }

    /** {@return the key that {@link #parse} reads} */
    public String key() {
        return from.equals(Moment.START) ? pattern : pattern + AT + from.label();
    }

    /** {@return whether the layer with this name is meant} */
    public boolean matches(String layer) {
        String regex =
                Arrays.stream(pattern.split("\\*", -1)).map(Pattern::quote).collect(Collectors.joining(".*"));
        return layer.matches(regex);
    }
}
