package dev.nibble.models.text;

import dev.nibble.error.FormatException;
import dev.nibble.models.files.JsonFields;
import dev.nibble.models.files.JsonTree;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/**
 * Looks at a tokenizer.json before the library does. That runs outside the virtual machine, and ends the process where a file
 * contradicts itself in ways that it takes to be impossible.
 */
final class TokenizerJson {
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
        long size = Files.size(file);
        if (size > LARGEST) {
            throw new FormatException("%s has %d bytes, but at most %d are read".formatted(file, size, LARGEST));
        }
        JsonFields json = new JsonFields(
                file.toString(), JsonTree.parseWithoutNulls(file.toString(), Files.readAllBytes(file), DEPTH));
        if (json.has("model")) {
            checkMerges(json.object("model"));
        }
        if (json.has("post_processor")) {
            checkProcessor(json.object("post_processor"));
        }
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
