package dev.nibble.models.files;

import dev.nibble.error.FormatException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;

/**
 * The fields of a JSON object, each asked for by name and type.
 *
 * @param what where the object is, for messages: {@code run/state.json: 'data'}
 * @param fields as {@link JsonTree#parse} gives them
 */
public record JsonFields(String what, Map<String, Object> fields) {
    /** {@return whether there is such a field} */
    public boolean has(String name) {
        return fields.containsKey(name);
    }

    /**
     * {@return a text}
     *
     * @throws FormatException if it is missing or something else
     */
    public String text(String name) {
        return get(name, String.class, "a text");
    }

    /**
     * {@return a whole number}
     *
     * @throws FormatException if it is missing, something else or out of range
     */
    public long whole(String name, long lowest, long highest) {
        long value = get(name, Long.class, "a whole number");
        if (value < lowest || value > highest) {
            throw new FormatException("%s: %s is %d, but must be in %d..%d"
                    .formatted(what, JsonTree.quoted(name), value, lowest, highest));
        }
        return value;
    }

    /**
     * {@return a number; one that is not finite stands as a text}
     *
     * @throws FormatException if it is missing or something else
     */
    public double number(String name) {
        return number(get(name, Object.class, "a number"));
    }

    /**
     * {@return the number that a value of a list is}
     *
     * @throws FormatException if it is something else
     */
    public double number(Object value) {
        return switch (value) {
            case Long whole -> whole;
            case Double number -> number;
            case String text when text.equals("NaN") -> Double.NaN;
            case String text when text.equals("Infinity") -> Double.POSITIVE_INFINITY;
            case String text when text.equals("-Infinity") -> Double.NEGATIVE_INFINITY;
            default -> throw new FormatException(what + " has " + describe(value) + " where a number must be");
        };
    }

    /** {@return a number as {@link #number} reads it back, finite or not} */
    public static Object numberOrText(double value) {
        return Double.isFinite(value) ? value : String.valueOf(value);
    }

    /**
     * {@return the fields of an object}
     *
     * @throws FormatException if it is missing or something else
     */
    public JsonFields object(String name) {
        return object(JsonTree.quoted(name), get(name, Object.class, "an object"));
    }

    /**
     * {@return the fields of a value of this object or of a list in it}
     *
     * @param label how messages call it
     * @throws FormatException if it is no object
     */
    public JsonFields object(String label, Object value) {
        if (!(value instanceof Map<?, ?> map)) {
            throw new FormatException("%s: %s is %s, but must be an object".formatted(what, label, describe(value)));
        }
        Map<String, Object> inner = new TreeMap<>();
        map.forEach((key, entry) -> inner.put((String) key, entry));
        return new JsonFields(what + ": " + label, inner);
    }

    /**
     * {@return a list}
     *
     * @throws FormatException if it is missing or something else
     */
    public List<Object> list(String name) {
        List<?> list = get(name, List.class, "a list");
        return new ArrayList<>(list);
    }

    /**
     * {@return an object all of whose values are texts, sorted by name}
     *
     * @throws FormatException if it is missing or something else
     */
    public SortedMap<String, String> texts(String name) {
        JsonFields object = object(name);
        SortedMap<String, String> texts = new TreeMap<>();
        object.fields().keySet().forEach(key -> texts.put(key, object.text(key)));
        return texts;
    }

    private <T> T get(String name, Class<T> type, String needed) {
        Object value = fields.get(name);
        if (value == null) {
            throw new FormatException("%s has no %s".formatted(what, JsonTree.quoted(name)));
        }
        if (!type.isInstance(value)) {
            throw new FormatException(
                    "%s: %s is %s, but must be %s".formatted(what, JsonTree.quoted(name), describe(value), needed));
        }
        return type.cast(value);
    }

    /** {@return what a value is, in few words} */
    public static String describe(Object value) {
        return switch (value) {
            case Map<?, ?> _ -> "an object";
            case List<?> _ -> "a list";
            case String text -> "the text " + JsonTree.quoted(text);
            default -> String.valueOf(value);
        };
    }
}
