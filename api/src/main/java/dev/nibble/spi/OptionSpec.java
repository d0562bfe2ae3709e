package dev.nibble.spi;

import java.util.List;

/**
 * An option of a quantizer.
 *
 * @param name as written after the quantizer's name: {@code int8-block:block=128x256}
 * @param type what its values look like
 * @param defaultValue its value when it is not given
 * @param values the values to choose from, if {@code type} is CHOICE; else examples or empty
 * @param help what it does, in one line
 */
public record OptionSpec(String name, Type type, String defaultValue, List<String> values, String help) {
    /** What the values of an option look like. */
    public enum Type {
        /** {@code true} or {@code false}. */
        BOOLEAN,
        /** A decimal integer. */
        INTEGER,
        /** A finite decimal number. */
        NUMBER,
        /** One of a list. */
        CHOICE,
        /** Checked by the quantizer itself. */
        TEXT
    }

    /** Copies the list. */
    public OptionSpec {
        values = List.copyOf(values);
    }

    /** {@return an option that is true or false} */
    public static OptionSpec flag(String name, boolean defaultValue, String help) {
        return new OptionSpec(name, Type.BOOLEAN, String.valueOf(defaultValue), List.of("true", "false"), help);
    }

    /** {@return an option that is one of a list, the first by default} */
    public static OptionSpec choice(String name, List<String> values, String help) {
        return new OptionSpec(name, Type.CHOICE, values.getFirst(), values, help);
    }

    /** {@return an option that the quantizer checks itself} */
    public static OptionSpec text(String name, String defaultValue, List<String> examples, String help) {
        return new OptionSpec(name, Type.TEXT, defaultValue, examples, help);
    }

    /** Says what is wrong with a value, or nothing. */
    String problem(String value) {
        boolean fits = switch (type) {
            case BOOLEAN -> value.equals("true") || value.equals("false");
            case INTEGER -> value.matches("[+-]?\\d{1,9}");
            case NUMBER -> isFiniteNumber(value);
            case CHOICE -> values.contains(value);
            case TEXT -> true;
        };
        if (fits) {
            return "";
        }
        String needed = values.isEmpty() ? "a " + type.name().toLowerCase(java.util.Locale.ROOT) : "one of " + values;
        return "option " + name + " is '" + value + "', but must be " + needed;
    }

    private static boolean isFiniteNumber(String value) {
        try {
            return Double.isFinite(Double.parseDouble(value));
        } catch (NumberFormatException _) {
            return false;
        }
    }
}
