package dev.nibble.cli;

import dev.nibble.models.QuantizerChoice;
import dev.nibble.spi.OptionSpec;
import dev.nibble.spi.OptionValues;
import dev.nibble.spi.Plugins;
import dev.nibble.spi.Quantizer;
import dev.nibble.spi.QuantizerProvider;
import java.util.Map;
import java.util.TreeMap;

/** Quantizers by the text that names them, such as {@code int8-block:block=32}. */
final class QuantizerName {
    private QuantizerName() {}

    /**
     * {@return the quantizer}
     *
     * @throws IllegalArgumentException if it cannot be read, or nothing has that name or option
     */
    static Quantizer quantizer(String label) {
        QuantizerChoice choice = QuantizerChoice.parse(label);
        QuantizerProvider provider = Plugins.quantizers().get(choice.name());
        return provider.create(OptionValues.of(choice.name(), provider.options(), choice.options()));
    }

    /**
     * {@return what people are told: the name, and the options that do not have their defaults}
     *
     * @param label of a quantizer; one that is not here keeps all of it
     */
    static String of(String label) {
        QuantizerChoice choice = QuantizerChoice.parse(label);
        if (!Plugins.quantizers().names().contains(choice.name())) {
            return label;
        }
        Map<String, String> options = new TreeMap<>(choice.options());
        for (OptionSpec option : Plugins.quantizers().get(choice.name()).options()) {
            options.remove(option.name(), option.defaultValue());
        }
        return new QuantizerChoice(choice.name(), options).label();
    }
}
