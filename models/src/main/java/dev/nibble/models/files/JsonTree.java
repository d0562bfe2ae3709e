package dev.nibble.models.files;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonLocation;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.exc.StreamConstraintsException;
import com.fasterxml.jackson.core.util.DefaultPrettyPrinter;
import dev.nibble.error.FormatException;
import java.io.IOException;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * JSON as plain objects: an object is a {@link Map} in the order of the text, an array a {@link List}, a number a {@link
 * Long} or a {@link Double}. Reading is strict: a name twice in an object, deep nesting, null, and anything after the value
 * are refused.
 */
public final class JsonTree {
    private static final int SHOWN = 60; // characters of a text from a file that a message repeats

    private final String what;
    private final JsonParser parser;
    private final boolean nulls; // whether a field may be null

    private JsonTree(String what, JsonParser parser, boolean nulls) {
        this.what = what;
        this.parser = parser;
        this.nulls = nulls;
    }

    /**
     * {@return the object that a text holds}
     *
     * @param what where the text is from, for messages
     * @param utf8 the text
     * @param depth objects and arrays that may stand inside each other
     * @throws FormatException saying what is wrong, and where
     */
    public static Map<String, Object> parse(String what, byte[] utf8, int depth) {
        return parse(what, utf8, depth, false);
    }

    /**
     * {@return the object that a text holds, without the fields that are null}
     *
     * @param what where the text is from, for messages
     * @param utf8 the text
     * @param depth objects and arrays that may stand inside each other
     * @throws FormatException saying what is wrong, and where
     */
    public static Map<String, Object> parseWithoutNulls(String what, byte[] utf8, int depth) {
        return parse(what, utf8, depth, true);
    }

    private static Map<String, Object> parse(String what, byte[] utf8, int depth, boolean nulls) {
        JsonFactory factory = JsonFactory.builder()
                // names of a hostile file are not worth a table that all parsers share
                .disable(JsonFactory.Feature.CANONICALIZE_FIELD_NAMES)
                .streamReadConstraints(
                        StreamReadConstraints.builder().maxNestingDepth(depth).build())
                .build();
        try (JsonParser parser = factory.createParser(decode(what, utf8))) {
            JsonTree tree = new JsonTree(what, parser, nulls);
            if (parser.nextToken() != JsonToken.START_OBJECT) {
                throw new FormatException(what + " is no JSON object: it does not begin with '{'");
            }
            Map<String, Object> object = tree.object();
            if (parser.nextToken() != null) {
                throw new FormatException(what + " goes on after its JSON object, " + tree.place());
            }
            return object;
        } catch (StreamConstraintsException e) {
            throw new FormatException(what + " is JSON that is nested deeper than " + depth
                    + " levels, or has a text or number that is too long" + place(e));
        } catch (JsonProcessingException e) {
            throw new FormatException(what + " is damaged JSON: " + line(e.getOriginalMessage(), 3 * SHOWN) + place(e));
        } catch (IOException e) {
            throw new UncheckedIOException("a text in memory cannot be read", e);
        }
    }

    private static String decode(String what, byte[] utf8) {
        ByteBuffer buffer = ByteBuffer.wrap(utf8);
        try {
            return StandardCharsets.UTF_8.newDecoder().decode(buffer).toString();
        } catch (CharacterCodingException _) {
            throw new FormatException(what + " is damaged: it is no UTF-8 text, at byte " + buffer.position());
        }
    }

    private static String place(JsonProcessingException e) {
        JsonLocation location = e.getLocation();
        return location == null ? "" : ", at character " + location.getCharOffset();
    }

    private Map<String, Object> object() throws IOException {
        Map<String, Object> object = new LinkedHashMap<>();
        while (parser.nextToken() != JsonToken.END_OBJECT) {
            String name = parser.currentName();
            if (parser.nextToken() == JsonToken.VALUE_NULL && nulls) {
                continue;
            }
            if (object.put(name, value()) != null) {
                throw new FormatException("%s has %s twice in one object".formatted(what, quoted(name)));
            }
        }
        return object;
    }

    private List<Object> array() throws IOException {
        List<Object> array = new ArrayList<>();
        while (parser.nextToken() != JsonToken.END_ARRAY) {
            array.add(value());
        }
        return array;
    }

    private Object value() throws IOException {
        return switch (parser.currentToken()) {
            case START_OBJECT -> object();
            case START_ARRAY -> array();
            case VALUE_STRING -> whole(parser.getText());
            case VALUE_NUMBER_INT -> number();
            case VALUE_NUMBER_FLOAT -> parser.getDoubleValue();
            case VALUE_TRUE -> true;
            case VALUE_FALSE -> false;
            default -> throw new FormatException(what + " has a value that is nothing, " + place());
        };
    }

    /** An escape may name half of a character, which no file can hold, and other readers end on. */
    private String whole(String text) {
        if (text.codePoints().anyMatch(c -> c >= Character.MIN_SURROGATE && c <= Character.MAX_SURROGATE)) {
            throw new FormatException(what + " has a text with half of a character, " + place());
        }
        return text;
    }

    private Object number() throws IOException {
        if (parser.getNumberType() == JsonParser.NumberType.BIG_INTEGER) {
            throw new FormatException(
                    "%s has the number %s, which is out of range".formatted(what, line(parser.getText(), SHOWN)));
        }
        return parser.getLongValue();
    }

    private String place() {
        return "at character " + parser.currentTokenLocation().getCharOffset();
    }

    /** {@return a text from a file as a message can show it: quoted, short, and in one line} */
    public static String quoted(String text) {
        return "'" + line(text) + "'";
    }

    /** {@return a text from a file, short and in one line} */
    public static String line(String text) {
        return line(text, SHOWN);
    }

    /**
     * {@return a text from elsewhere in one line}
     *
     * @param most characters that are kept
     */
    public static String line(String text, int most) {
        String line = text.codePoints()
                .limit(most)
                .map(c -> Character.isISOControl(c) || Character.getType(c) == Character.SURROGATE ? '?' : c)
                .collect(StringBuilder::new, StringBuilder::appendCodePoint, StringBuilder::append)
                .toString();
        return line.length() < text.length() ? line + "..." : line;
    }

    /** {@return a tree as indented text with a line end; a number that is not finite is null, and so is what is empty} */
    public static String text(Map<String, ?> tree) {
        return write(tree, true) + "\n";
    }

    /** {@return a tree as text without white space; a number that is not finite is null} */
    public static String compact(Map<String, ?> tree) {
        return write(tree, false);
    }

    private static String write(Map<String, ?> tree, boolean indented) {
        StringWriter text = new StringWriter();
        try (JsonGenerator json = new JsonFactory().createGenerator(text)) {
            if (indented) {
                json.setPrettyPrinter(new DefaultPrettyPrinter());
            }
            write(json, tree);
        } catch (IOException e) {
            throw new UncheckedIOException("a text in memory cannot be written", e);
        }
        return text.toString();
    }

    private static void write(JsonGenerator json, Object value) throws IOException {
        switch (value) {
            case Map<?, ?> map -> {
                json.writeStartObject();
                for (Map.Entry<?, ?> entry : map.entrySet()) {
                    json.writeFieldName(String.valueOf(entry.getKey()));
                    write(json, entry.getValue());
                }
                json.writeEndObject();
            }
            case List<?> list -> {
                json.writeStartArray();
                for (Object element : list) {
                    write(json, element);
                }
                json.writeEndArray();
            }
            case Optional<?> optional when optional.isEmpty() -> json.writeNull();
            case Optional<?> optional -> write(json, optional.get());
            case Double number when !Double.isFinite(number) -> json.writeNull();
            default -> json.writePOJO(value); // a string, number or boolean
        }
    }
}
