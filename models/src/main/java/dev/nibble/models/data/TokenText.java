package dev.nibble.models.data;

import dev.nibble.error.NibbleException;
import java.nio.file.Path;
import java.util.Optional;

/** A text as numbered tokens. The first nine tenths are for training, the rest for validation. */
public sealed interface TokenText permits ByteText, TokenFile {
    /** {@return name of the file or folder, for messages} */
    String name();

    /** {@return what a token is, in the plural: bytes, tokens} */
    String unit();

    /** {@return how many different tokens there may be: they are 0 to one less} */
    int vocabulary();

    /** {@return how many there are} */
    long length();

    /** {@return the token at an index below {@link #length}} */
    int token(long index);

    /** {@return bytes of text for each token, on average} */
    double bytesPerToken();

    /** {@return file of the tokenizer that made the tokens, absolute; empty if they are bytes} */
    Optional<Path> tokenizer();

    /** {@return SHA-256 of all that training reads} */
    String hash();

    /** {@return tokens to train on: the first ones} */
    default long trainLength() {
        return length() / 10 * 9 + length() % 10 * 9 / 10;
    }

    /** {@return tokens held out: those after the training tokens} */
    default long validationLength() {
        return length() - trainLength();
    }

    /**
     * Checks that both parts hold at least one window.
     *
     * @param window tokens of a window: one more than a sequence
     * @throws NibbleException if the text is too short
     */
    default void requireWindows(int window) {
        if (validationLength() < window || trainLength() < window) {
            throw new NibbleException(
                    "text %s has %d %s, but needs at least %d: a tenth is held out, and must hold a sequence of %d and the %s after it; lower data.sequence"
                            .formatted(
                                    name(),
                                    length(),
                                    unit(),
                                    10L * window,
                                    window - 1,
                                    unit().substring(0, unit().length() - 1)));
        }
    }
}
