package dev.nibble.models.text;

import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import dev.nibble.error.FormatException;
import dev.nibble.error.NibbleException;
import dev.nibble.error.NotAvailableException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;

/**
 * The tokenizer that a tokenizer.json of Hugging Face describes, run by their own library, whose native part comes with the library of
 * the Deep Java Library. It is unpacked below the home folder on first use; nothing is fetched.
 */
public final class FileTokenizer implements TextTokenizer {
    private static final String NO_TRACKING =
            "OPT_OUT_TRACKING"; // the library reports its use over the network unless this is true

    private final HuggingFaceTokenizer tokenizer;
    private final int most;

    private FileTokenizer(HuggingFaceTokenizer tokenizer, int most) {
        this.tokenizer = tokenizer;
        this.most = most;
    }

    /**
     * {@return the tokenizer of a file}
     *
     * @param most tokens of the longest text
     * @throws FormatException if the file describes no tokenizer
     * @throws NotAvailableException if the library is not here, or has no native part for this machine
     * @throws NibbleException if the file cannot be read
     */
    public static FileTokenizer open(Path file, int most) {
        if (!Files.isRegularFile(file)) {
            throw new NibbleException(file + (Files.exists(file) ? " is not a file" : " does not exist")
                    + ", but must be the tokenizer.json of the weights");
        }
        Optional<String> before = Optional.ofNullable(System.getProperty(NO_TRACKING));
        try {
            System.setProperty(NO_TRACKING, "true");
            return new FileTokenizer(
                    HuggingFaceTokenizer.builder()
                            .optTokenizerPath(file)
                            .optAddSpecialTokens(true)
                            .optTruncation(true)
                            .optPadding(false)
                            .optMaxLength(most)
                            .build(),
                    most);
        } catch (LinkageError e) {
            throw new NotAvailableException(
                    "the tokenizer library (ai.djl.huggingface:tokenizers) is not available here: " + e
                            + "; without model.tokenizer and model.weights, bytes are the tokens");
        } catch (IOException | RuntimeException e) {
            FormatException damaged =
                    new FormatException("%s describes no tokenizer: %s".formatted(file, e.getMessage()));
            damaged.initCause(e);
            throw damaged;
        } finally {
            before.ifPresentOrElse(
                    value -> System.setProperty(NO_TRACKING, value), () -> System.clearProperty(NO_TRACKING));
        }
    }

    @Override
    public int[] encode(String text, int limit) {
        if (limit != most) {
            throw new IllegalArgumentException(
                    "this tokenizer keeps %d tokens, but was asked for %d".formatted(most, limit));
        }
        long[] ids = tokenizer.encode(text).getIds();
        int[] tokens = new int[ids.length]; // [tokens]
        for (int i = 0; i < ids.length; i++) {
            tokens[i] = Math.toIntExact(ids[i]);
        }
        return tokens;
    }

    @Override
    public void close() {
        tokenizer.close();
    }
}
