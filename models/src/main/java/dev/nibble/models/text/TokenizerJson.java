package dev.nibble.models.text;

import dev.nibble.error.FormatException;
import dev.nibble.models.files.JsonFields;
import dev.nibble.models.files.JsonTree;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;

/**
 * Looks at a tokenizer.json before the library does. That runs outside the virtual machine, and ends the process where a file
 * contradicts itself in ways that it takes to be impossible.
 */
final class TokenizerJson {
    /** What the token that ends a text may be called, the likeliest first. */
    static final List<String> ENDS_OF_TEXT = List.of("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>");

    private static final long LARGEST = 1L << 28; // bytes; the largest in use have 35 million
    private static final int DEPTH = 32;
    private static final String PIECE = "a piece of 'single'";

    private TokenizerJson() {}

    /**
     * Refuses a file that the library must not see.
     *
     * @throws FormatException naming the file and the place
     * @throws IOException if it cannot be read
     */
    static void check(Path file) throws IOException {
        JsonFields json = read(file);
        if (json.has("model")) {
            checkMerges(json.object("model"));
        }
        if (json.has("post_processor")) {
            checkProcessor(json.object("post_processor"));
        }
        TokenizerSteps.check(json);
    }

    private static JsonFields read(Path file) throws IOException {
        long size = Files.size(file);
        if (size > LARGEST) {
            throw new FormatException("%s has %d bytes, but at most %d are read".formatted(file, size, LARGEST));
        }
        return parse(file.toString(), Files.readAllBytes(file));
    }

    /** {@return the content of a file} */
    static JsonFields parse(String what, byte[] utf8) {
        return new JsonFields(what, JsonTree.parseWithoutNulls(what, utf8, DEPTH));
    }

    /**
     * {@return the added token whose name says that it ends a text} The file does not mark it otherwise.
     *
     * @throws FormatException if the added tokens are damaged
     * @throws IOException if the file cannot be read
     */
    static OptionalInt endOfText(Path file) throws IOException {
        Map<String, Integer> added = added(read(file));
        return ENDS_OF_TEXT.stream()
                .filter(added::containsKey)
                .mapToInt(added::get)
                .findFirst();
    }

    /** {@return the added tokens with their ids} */
    static Map<String, Integer> added(JsonFields json) {
        Map<String, Integer> added = new HashMap<>();
        if (json.has("added_tokens")) {
            for (Object value : json.list("added_tokens")) {
                JsonFields token = json.object("an entry of 'added_tokens'", value);
                added.putIfAbsent(token.text("content"), (int) token.whole("id", 0, Integer.MAX_VALUE));
            }
        }
        return added;
    }

    /** What continues a word begins with the prefix that says so: the library cuts it off unseen. */
    private static void checkMerges(JsonFields model) {
        if (!model.has("continuing_subword_prefix") || !model.has("merges")) {
            return;
        }
        String prefix = model.text("continuing_subword_prefix");
        int number = 0;
        for (Object merge : model.list("merges")) {
            Object right = merge instanceof List<?> pair && !pair.isEmpty() ? pair.getLast() : merge;
            String text = String.valueOf(right);
            String part = merge instanceof List<?> ? text : text.substring(text.indexOf(' ') + 1);
            if (!part.startsWith(prefix)) {
                throw new FormatException("%s: merge %d ends with %s, which does not begin with the prefix %s"
                        .formatted(model.what(), number, JsonTree.quoted(part), JsonTree.quoted(prefix)));
            }
            number++;
        }
    }

    private static void checkProcessor(JsonFields processor) {
        if (processor.has("processors")) {
            for (Object inner : processor.list("processors")) {
                checkProcessor(processor.object("processors", inner));
            }
        }
        if (processor.has("single")) { // the library takes this for a template, whatever the type is called
            checkTemplate(processor);
        }
    }

    /** What is put around a text must be known, and no second text be asked for. */
    private static void checkTemplate(JsonFields template) {
        JsonFields tokens = template.object("special_tokens");
        for (String name : tokens.fields().keySet()) {
            JsonFields token = tokens.object(name);
            int ids = token.list("ids").size();
            int texts = token.list("tokens").size();
            if (ids != texts) {
                throw new FormatException("%s has %d ids, but %d tokens".formatted(token.what(), ids, texts));
            }
        }
        for (Object item : template.list("single")) {
            JsonFields piece = template.object(PIECE, item);
            if (piece.has("SpecialToken")) {
                String id = piece.object("SpecialToken").text("id");
                if (!tokens.has(id)) {
                    throw new FormatException("%s: %s is token %s, but 'special_tokens' has none of that name"
                            .formatted(template.what(), PIECE, JsonTree.quoted(id)));
                }
            } else if (!piece.object("Sequence").text("id").equals("A")) {
                throw new FormatException("%s: %s is sequence %s, but must be 'A': there is one text"
                        .formatted(
                                template.what(),
                                PIECE,
                                JsonTree.quoted(piece.object("Sequence").text("id"))));
            }
        }
    }
}
