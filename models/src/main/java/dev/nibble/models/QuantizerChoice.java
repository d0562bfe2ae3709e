package dev.nibble.models;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * A quantizer, named, with the options that were given. Whether the name and options exist is checked when a run is
 * prepared.
 *
 * @param name name of a quantizer, as in {@code int8-block}
 * @param options option name to value; options that are missing have their defaults
 */
public record QuantizerChoice(String name, Map<String, String> options) {
    /** Copies the map. */
    public QuantizerChoice {
        options = Map.copyOf(options);
    }

    /** {@return the quantizer with its default options} */
    public static QuantizerChoice of(String name) {
        return new QuantizerChoice(name, Map.of());
    }

    /**
     * Reads the form of the command line.
     *
     * @param text {@code NAME[:option=value[,option=value]…]}
     * @throws IllegalArgumentException if the text has another form, or an option twice
     */
    public static QuantizerChoice parse(String text) {
        int colon = text.indexOf(':');
        String name = (colon < 0 ? text : text.substring(0, colon)).strip();
        List<String> problems = new ArrayList<>();
        if (name.isEmpty()) {
            problems.add("it has no name");
        }
        Map<String, String> options = new TreeMap<>();
        if (colon >= 0) {
            for (String part : text.substring(colon + 1).split(",", -1)) {
                readOption(part.strip(), options, problems);
            }
        }
        if (!problems.isEmpty()) {
            throw new IllegalArgumentException("quantizer '" + text + "' cannot be read: " + String.join("; ", problems)
                    + "; the form is NAME[:option=value[,option=value]...], as in int8-block:block=128x256");
        }
        return new QuantizerChoice(name, options);
    }

    private static void readOption(String part, Map<String, String> options, List<String> problems) {
        int equals = part.indexOf('=');
        if (equals < 1 || equals == part.length() - 1) {
            problems.add("'" + part + "' is not option=value");
            return;
        }
        String option = part.substring(0, equals).strip();
        if (options.putIfAbsent(option, part.substring(equals + 1).strip()) != null) {
            problems.add("option " + option + " is given twice");
        }
    }

    /** {@return the canonical text, options sorted; {@link #parse} reads it back} */
    public String label() {
        if (options.isEmpty()) {
            return name;
        }
        List<String> parts = new TreeMap<>(options)
                .entrySet().stream().map(e -> e.getKey() + "=" + e.getValue()).toList();
        return name + ":" + String.join(",", parts);
    }

    @Override
    public String toString() {
        return label();
    }
}
