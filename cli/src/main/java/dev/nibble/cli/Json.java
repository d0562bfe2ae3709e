package dev.nibble.cli;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.Collection;
import java.util.Map;

/** JSON in which a number that is not finite is null. */
final class Json {
    private static final ObjectMapper MAPPER = new ObjectMapper().enable(SerializationFeature.INDENT_OUTPUT);
    private static final ObjectMapper COMPACT = new ObjectMapper();

    private Json() {}

    /** {@return a new, empty object} */
    static ObjectNode object() {
        return JsonNodeFactory.instance.objectNode();
    }

    /** {@return an object with these names and values: strings and numbers} */
    static ObjectNode object(Map<String, Object> values) {
        ObjectNode object = object();
        values.forEach((name, value) -> {
            if (value instanceof Double number) {
                put(object, name, number);
            } else {
                object.set(name, MAPPER.valueToTree(value));
            }
        });
        return object;
    }

    /** {@return a new, empty array} */
    static ArrayNode array() {
        return JsonNodeFactory.instance.arrayNode();
    }

    /** {@return an array of texts} */
    static ArrayNode array(Collection<String> texts) {
        ArrayNode array = array();
        texts.forEach(array::add);
        return array;
    }

    /** Adds a number, or null if it is not finite. */
    static void put(ObjectNode object, String name, double value) {
        if (Double.isFinite(value)) {
            object.put(name, value);
        } else {
            object.putNull(name);
        }
    }

    /** Adds a number, or null if it is not finite. */
    static void add(ArrayNode array, double value) {
        if (Double.isFinite(value)) {
            array.add(value);
        } else {
            array.addNull();
        }
    }

    /** {@return the object as indented text} */
    static String text(ObjectNode object) {
        return write(MAPPER, object);
    }

    /**
     * {@return the object as text that can stand inside a script element: no {@code </script>} or {@code <!--} can
     * occur in it, because every {@code <} is written as an escape}
     */
    static String scriptText(ObjectNode object) {
        return write(COMPACT, object)
                .replace("<", "\\u003c")
                .replace("\u2028", "\\u2028")
                .replace("\u2029", "\\u2029");
    }

    private static String write(ObjectMapper mapper, ObjectNode object) {
        try {
            return mapper.writeValueAsString(object);
        } catch (JsonProcessingException e) {
            throw new IllegalStateException("a JSON tree could not be written", e);
        }
    }
}
