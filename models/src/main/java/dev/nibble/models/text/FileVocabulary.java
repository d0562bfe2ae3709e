package dev.nibble.models.text;

import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import dev.nibble.error.FormatException;
import dev.nibble.error.NibbleException;
import dev.nibble.models.data.Vocabulary;
import dev.nibble.models.files.IoReason;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.OptionalInt;

/** The tokens that a tokenizer.json of Hugging Face describes, for a language model: none is added, and nothing is cut off. */
public final class FileVocabulary implements Vocabulary {
    /** Most tokens that a vocabulary may have. */
    public static final int MOST = 1 << 20;

    private static final int JSON_DEPTH = 64;

    private final Path file;
    private final int size;
    private final HuggingFaceTokenizer tokenizer;

    private FileVocabulary(Path file, int size, HuggingFaceTokenizer tokenizer) {
        this.file = file;
        this.size = size;
        this.tokenizer = tokenizer;
    }

    /**
     * {@return the vocabulary of a file}
     *
     * @throws FormatException if the file describes no tokenizer
     * @throws dev.nibble.error.NotAvailableException if the library is not here, or has no native part for this machine
     * @throws NibbleException if the file cannot be read
     */
    public static FileVocabulary open(Path file) {
        int size = size(file);
        return new FileVocabulary(
                file,
                size,
                FileTokenizer.load(
                        file,
                        builder -> builder.optAddSpecialTokens(false)
                                .optTruncation(false)
                                .optPadding(false)));
    }

    /**
     * {@return one more than the largest number of a token in a file} The library is not needed for it.
     *
     * @throws FormatException if the file names no tokens, or more than {@link #MOST}
     * @throws NibbleException if the file cannot be read
     */
    public static int size(Path file) {
        FileTokenizer.requireFile(file);
        JsonFactory factory = JsonFactory.builder()
                .disable(JsonFactory.Feature.CANONICALIZE_FIELD_NAMES)
                .streamReadConstraints(StreamReadConstraints.builder()
                        .maxNestingDepth(JSON_DEPTH)
                        .build())
                .build();
        long largest = -1;
        try (InputStream stream = Files.newInputStream(file);
                JsonParser parser = factory.createParser(stream)) {
            if (parser.nextToken() != JsonToken.START_OBJECT) {
                throw new FormatException(file + " describes no tokenizer: it is no JSON object");
            }
            while (parser.nextToken() == JsonToken.FIELD_NAME) {
                String name = parser.currentName();
                parser.nextToken();
                if (name.equals("model")) {
                    largest = Math.max(largest, inModel(parser));
                } else if (name.equals("added_tokens")) {
                    largest = Math.max(largest, inAddedTokens(parser));
                } else {
                    parser.skipChildren();
                }
            }
        } catch (JsonProcessingException e) {
            String place = e.getLocation() == null // of a file that is nested too deeply
                    ? "nested deeper than " + JSON_DEPTH + " levels, or with a text or number that is too long"
                    : "damaged JSON, line %d, column %d"
                            .formatted(
                                    e.getLocation().getLineNr(), e.getLocation().getColumnNr());
            FormatException damaged = new FormatException(file + " describes no tokenizer: " + place);
            damaged.initCause(e);
            throw damaged;
        } catch (IOException e) {
            throw new NibbleException("tokenizer %s cannot be read: %s".formatted(file, IoReason.of(e)), e);
        }
        if (largest < 0 || largest >= MOST) {
            throw new FormatException("%s describes no tokenizer: it has %s"
                    .formatted(
                            file,
                            largest < 0
                                    ? "no tokens in model.vocab"
                                    : "token " + largest + ", but at most " + MOST + " tokens fit"));
        }
        return (int) largest + 1;
    }

    /** {@return the largest number in model.vocab: an object of numbers, or a list in their order} */
    private static long inModel(JsonParser parser) throws IOException {
        long largest = -1;
        if (parser.currentToken() != JsonToken.START_OBJECT) {
            parser.skipChildren();
            return largest;
        }
        while (parser.nextToken() == JsonToken.FIELD_NAME) {
            boolean vocabulary = parser.currentName().equals("vocab");
            JsonToken begin = parser.nextToken();
            if (vocabulary && begin == JsonToken.START_OBJECT) {
                while (parser.nextToken() == JsonToken.FIELD_NAME) {
                    largest = Math.max(largest, number(parser, parser.nextToken()));
                }
            } else if (vocabulary && begin == JsonToken.START_ARRAY) {
                while (parser.nextToken() != JsonToken.END_ARRAY) {
                    parser.skipChildren();
                    largest++;
                }
            } else {
                parser.skipChildren();
            }
        }
        return largest;
    }

    /** {@return the largest id in a list of objects} */
    private static long inAddedTokens(JsonParser parser) throws IOException {
        long largest = -1;
        int depth = parser.currentToken() == JsonToken.START_ARRAY ? 1 : 0;
        while (depth > 0) {
            JsonToken token = parser.nextToken();
            if (token == null) {
                return largest;
            } else if (token.isStructStart()) {
                depth++;
            } else if (token.isStructEnd()) {
                depth--;
            } else if (token == JsonToken.FIELD_NAME && parser.currentName().equals("id")) {
                largest = Math.max(largest, number(parser, parser.nextToken()));
            }
        }
        return largest;
    }

    private static long number(JsonParser parser, JsonToken token) throws IOException {
        if (token != JsonToken.VALUE_NUMBER_INT) {
            parser.skipChildren();
            return -1;
        }
        long number = parser.getLongValue();
        return number < 0 ? Long.MAX_VALUE : number;
    }

    @Override
    public int size() {
        return size;
    }

    @Override
    public int[] encode(String text) {
        long[] ids = FileTokenizer.run(
                file, () -> tokenizer.encode(text, false, false).getIds());
        int[] tokens = new int[ids.length]; // [tokens]
        for (int i = 0; i < ids.length; i++) {
            if (ids[i] < 0 || ids[i] >= size) {
                throw new FormatException(
                        "tokenizer %s made token %d, but names tokens up to %d".formatted(file, ids[i], size - 1));
            }
            tokens[i] = (int) ids[i];
        }
        return tokens;
    }

    @Override
    public String decode(List<Integer> tokens) {
        long[] ids = tokens.stream().mapToLong(Integer::longValue).toArray(); // [tokens]
        return FileTokenizer.run(file, () -> tokenizer.decode(ids, false));
    }

    @Override
    public OptionalInt endOfText() {
        try {
            return TokenizerJson.endOfText(file);
        } catch (IOException e) {
            throw new NibbleException("tokenizer %s cannot be read: %s".formatted(file, IoReason.of(e)), e);
        }
    }

    @Override
    public void close() {
        tokenizer.close();
    }
}
