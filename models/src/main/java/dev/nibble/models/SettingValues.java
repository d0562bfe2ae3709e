package dev.nibble.models;

import dev.nibble.spi.Names;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.SortedMap;
import java.util.TreeMap;

/** The value of every setting of a preset, given or by default. */
public final class SettingValues {
    private final Map<String, String> values;

    private SettingValues(Map<String, String> values) {
        this.values = values;
    }

    /**
     * Checks given values against the settings and adds the defaults.
     *
     * @param settings the settings there are
     * @param given path to value
     * @return a value for each setting
     * @throws IllegalArgumentException naming every unknown path and unfit value
     */
    public static SettingValues of(List<Setting> settings, Map<String, String> given) {
        List<String> problems = new ArrayList<>();
        Map<String, String> values = new TreeMap<>();
        for (Setting setting : settings) {
            String value = given.getOrDefault(setting.path(), setting.defaultValue());
            problem(setting, value).ifPresent(problems::add);
            values.put(setting.path(), value);
        }
        for (String path : new TreeMap<>(given).keySet()) {
            if (!values.containsKey(path)) {
                problems.add("no setting is named '" + path + "'; "
                        + Names.suggest(
                                path, settings.stream().map(Setting::path).toList()));
            }
        }
        ConfigurationException.throwIfAny(problems);
        return new SettingValues(values);
    }

    /** {@return what is wrong with a value of a setting, if anything is} */
    static Optional<String> problem(Setting setting, String value) {
        return fits(setting.type(), value)
                ? Optional.empty()
                : Optional.of(
                        "setting %s is '%s', but must be %s".formatted(setting.path(), value, needed(setting.type())));
    }

    private static boolean fits(Setting.Type type, String value) {
        return switch (type) {
            case BOOLEAN -> value.equals("true") || value.equals("false");
            case INTEGER -> value.matches("[+-]?\\d{1,9}");
            case NUMBER -> isFiniteNumber(value);
            case TEXT -> true;
            case PATH -> isPath(value);
        };
    }

    /** {@return what the values of a type are, in words} */
    static String needed(Setting.Type type) {
        return switch (type) {
            case BOOLEAN -> "true or false";
            case INTEGER -> "an integer of at most 9 digits";
            case NUMBER -> "a finite number";
            case TEXT -> "a text";
            case PATH -> "a path";
        };
    }

    private static boolean isFiniteNumber(String value) {
        try {
            return Double.isFinite(Double.parseDouble(value));
        } catch (NumberFormatException _) {
            return false;
        }
    }

    private static boolean isPath(String value) {
        try {
            return !Path.of(value).toString().isEmpty() || value.isEmpty();
        } catch (InvalidPathException _) {
            return false;
        }
    }

    /**
     * {@return the constant that a text setting names in lower case}
     *
     * @throws IllegalArgumentException naming the known ones
     */
    <E extends Enum<E>> E choice(String path, Class<E> type) {
        String name = text(path);
        List<E> constants = List.of(type.getEnumConstants());
        List<String> known = constants.stream()
                .map(constant -> constant.name().toLowerCase(Locale.ROOT))
                .toList();
        if (!known.contains(name)) {
            throw new IllegalArgumentException("setting " + path + " is '" + name + "'; " + Names.suggest(name, known));
        }
        return constants.get(known.indexOf(name));
    }

    /** {@return all values by path, sorted} */
    SortedMap<String, String> asMap() {
        return new TreeMap<>(values);
    }

    /** {@return the value as text} */
    public String text(String path) {
        String value = values.get(path);
        if (value == null) {
            throw new IllegalArgumentException("no setting is named '" + path + "'; there are " + values.keySet());
        }
        return value;
    }

    /** {@return the value of a BOOLEAN setting} */
    public boolean flag(String path) {
        return Boolean.parseBoolean(text(path));
    }

    /** {@return the value of an INTEGER setting} */
    public int integer(String path) {
        return Integer.parseInt(text(path));
    }

    /**
     * Checks the value of an INTEGER setting.
     *
     * @throws IllegalArgumentException if it is out of range
     */
    void requireIn(String path, int lowest, int highest) {
        int value = integer(path);
        if (value < lowest || value > highest) {
            throw new IllegalArgumentException(
                    "setting %s is %d, but must be in %d..%d".formatted(path, value, lowest, highest));
        }
    }

    /** {@return the value of a PATH setting} */
    Path path(String path) {
        return Path.of(text(path));
    }

    /** {@return the value of a NUMBER setting} */
    public double number(String path) {
        return Double.parseDouble(text(path));
    }
}
