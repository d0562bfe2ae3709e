package dev.nibble.models.encoder;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import dev.nibble.error.FormatException;
import dev.nibble.models.files.JsonTree;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * What the config.json of an encoder says that its tensors do not.
 *
 * @param heads attention heads; 0 if it does not say
 * @param labels names of the classes by number; empty if it does not say
 */
record EncoderConfig(int heads, List<String> labels) {
    /** What is known without a config.json. */
    static final EncoderConfig NONE = new EncoderConfig(0, List.of());

    /** Added to variances, as in BERT. */
    static final double NORM_EPSILON = 1e-12;

    private static final int LONGEST_REASON = 180; // characters

    // what the computation here is, by name; a file may leave each of them out
    private static final Map<String, String> NEEDED =
            Map.of("model_type", "bert", "hidden_act", "gelu", "position_embedding_type", "absolute");

    /**
     * {@return what a config.json says}
     *
     * @param what where it is from, for messages
     * @param json its text
     * @throws FormatException if it is no JSON object, or one of a model that computes something else
     */
    static EncoderConfig parse(String what, String json) {
        int heads = 0;
        List<String> labels = List.of();
        try (JsonParser parser = new JsonFactory().createParser(json)) {
            if (parser.nextToken() != JsonToken.START_OBJECT) {
                throw new FormatException(what + " is no JSON object: it does not begin with '{'");
            }
            while (parser.nextToken() == JsonToken.FIELD_NAME) {
                String name = parser.currentName();
                JsonToken token = parser.nextToken();
                if (NEEDED.containsKey(name) && token == JsonToken.VALUE_STRING) {
                    requireSame(what, name, parser.getText(), NEEDED.get(name));
                } else if (name.equals("layer_norm_eps") && token.isNumeric()) {
                    requireSame(what, name, parser.getDoubleValue(), NORM_EPSILON);
                } else if (name.equals("num_attention_heads") && token == JsonToken.VALUE_NUMBER_INT) {
                    heads = parser.getIntValue();
                } else if (name.equals("id2label") && token == JsonToken.START_OBJECT) {
                    labels = labels(parser);
                } else {
                    parser.skipChildren();
                }
            }
        } catch (JsonProcessingException e) {
            throw new FormatException(
                    what + " is damaged JSON: " + JsonTree.line(e.getOriginalMessage(), LONGEST_REASON));
        } catch (IOException e) {
            throw new UncheckedIOException("a text in memory cannot be read", e);
        }
        return new EncoderConfig(heads, labels);
    }

    private static void requireSame(String what, String name, Object there, Object needed) {
        if (!there.equals(needed)) {
            throw new FormatException("%s: %s is %s, but must be %s: another model is not computed here"
                    .formatted(what, name, JsonTree.quoted(String.valueOf(there)), needed));
        }
    }

    /** {@return the labels 0, 1, 2 and so on; none if one of them is missing} */
    private static List<String> labels(JsonParser parser) throws IOException {
        Map<String, String> byNumber = new TreeMap<>();
        while (parser.nextToken() == JsonToken.FIELD_NAME) {
            String number = parser.currentName();
            parser.nextToken();
            byNumber.put(number, parser.getValueAsString(""));
            parser.skipChildren();
        }
        List<String> labels = new ArrayList<>();
        while (byNumber.containsKey(String.valueOf(labels.size()))) {
            labels.add(byNumber.get(String.valueOf(labels.size())));
        }
        return labels.size() == byNumber.size() ? labels : List.of();
    }
}
