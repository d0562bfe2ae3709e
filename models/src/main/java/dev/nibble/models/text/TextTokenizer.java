package dev.nibble.models.text;

/** Cuts a text into tokens. Belongs to one thread at a time. */
public interface TextTokenizer extends AutoCloseable {
    /**
     * {@return the tokens of a text: first the one whose vector is classified, last the one that ends a sequence}
     *
     * @param text any text
     * @param most tokens that are kept, at least 2: what is too long loses its end
     */
    int[] encode(String text, int most);

    @Override
    void close();
}
