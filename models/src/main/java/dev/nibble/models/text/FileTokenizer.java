package dev.nibble.models.text;

import ai.djl.huggingface.tokenizers.Encoding;
import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import dev.nibble.error.FormatException;
import dev.nibble.error.NibbleException;
import dev.nibble.error.NotAvailableException;
import dev.nibble.models.files.IoReason;
import dev.nibble.models.files.JsonTree;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.function.Supplier;
import java.util.function.UnaryOperator;

/**
 * The tokenizer that a tokenizer.json of Hugging Face describes, run by their own library, whose native part comes with the library of
 * the Deep Java Library. It is unpacked below the home folder on first use; nothing is fetched.
 */
public final class FileTokenizer implements TextTokenizer {
    private static final String NO_TRACKING =
            "OPT_OUT_TRACKING"; // the library reports its use over the network unless this is true

    private static final int LONGEST_REASON = 300; // characters

    private final Path file;
    private final HuggingFaceTokenizer tokenizer;
    private final int most;

    private FileTokenizer(Path file, HuggingFaceTokenizer tokenizer, int most) {
        this.file = file;
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
        return new FileTokenizer(
                file,
                load(
                        file,
                        builder -> builder.optAddSpecialTokens(true)
                                .optTruncation(true)
                                .optPadding(false)
                                .optMaxLength(most)
                                .optStride(0)), // the file's may exceed what is kept
                most);
    }

    /**
     * Checks that a tokenizer.json is there.
     *
     * @throws NibbleException if it is not
     */
    static void requireFile(Path file) {
        if (!Files.isRegularFile(file)) {
            throw new NibbleException(file + (Files.exists(file) ? " is not a file" : " does not exist")
                    + ", but must be the tokenizer.json of the weights");
        }
    }

    /** {@return the library's tokenizer of a file} It throws as {@link #open} does. */
    static HuggingFaceTokenizer load(Path file, UnaryOperator<HuggingFaceTokenizer.Builder> options) {
        requireFile(file);
        check(file);
        Optional<String> before = Optional.ofNullable(System.getProperty(NO_TRACKING));
        try {
            System.setProperty(NO_TRACKING, "true");
            return options.apply(HuggingFaceTokenizer.builder().optTokenizerPath(file))
                    .build();
        } catch (LinkageError e) {
            throw new NotAvailableException(
                    "the tokenizer library (ai.djl.huggingface:tokenizers) is not available here: " + e
                            + "; without model.tokenizer and model.weights, bytes are the tokens");
        } catch (IOException | RuntimeException e) {
            throw damaged(file, "describes no tokenizer", e);
        } finally {
            before.ifPresentOrElse(
                    value -> System.setProperty(NO_TRACKING, value), () -> System.clearProperty(NO_TRACKING));
        }
    }

    private static void check(Path file) {
        try {
            TokenizerJson.check(file);
        } catch (IOException e) {
            throw new NibbleException("%s cannot be read: %s".formatted(file, IoReason.of(e)), e);
        }
    }

    @Override
    public Pieces encode(String text, int limit) {
        requireLimit(limit);
        return pieces(() -> tokenizer.encode(text));
    }

    @Override
    public Pieces encode(List<String> words, int limit) {
        requireLimit(limit);
        return pieces(() -> tokenizer.encode(words));
    }

    private void requireLimit(int limit) {
        if (limit != most) {
            throw new IllegalArgumentException(
                    "this tokenizer keeps %d tokens, but was asked for %d".formatted(most, limit));
        }
    }

    /** What is wrong with a file may be seen only when it is used: a token that it names and does not have, for one. */
    static <T> T run(Path file, Supplier<T> use) {
        try {
            return use.get();
        } catch (RuntimeException e) {
            throw damaged(file, "describes a tokenizer that fails", e);
        }
    }

    private Pieces pieces(Supplier<Encoding> encode) {
        Encoding encoding = run(file, encode);
        return new Pieces(ints(encoding.getIds()), ints(encoding.getWordIds()), encoding.exceedMaxLength());
    }

    private static FormatException damaged(Path file, String what, Exception cause) {
        String reason = JsonTree.line(String.valueOf(cause.getMessage()), LONGEST_REASON);
        FormatException damaged = new FormatException("%s %s: %s".formatted(file, what, reason));
        damaged.initCause(cause);
        return damaged;
    }

    private static int[] ints(long[] values) {
        int[] ints = new int[values.length]; // [values]
        for (int i = 0; i < ints.length; i++) {
            ints[i] = Math.toIntExact(values[i]);
        }
        return ints;
    }

    @Override
    public void close() {
        tokenizer.close();
    }
}
