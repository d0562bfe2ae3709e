package dev.nibble.models.text;

import java.util.List;

/** Cuts texts into tokens. Belongs to one thread at a time. */
public interface TextTokenizer extends AutoCloseable {
    /**
     * {@return the tokens of a text: first the one whose vector is classified, last the one that ends a sequence}
     *
     * @param text any text
     * @param most tokens that are kept, at least 2: what is too long loses its end
     */
    Pieces encode(String text, int most);

    /**
     * {@return the tokens of a text that is already cut into words, with the same first and last token}
     *
     * @param words the words; a word may get no token, if the tokenizer drops all its characters
     * @param most tokens that are kept, at least 2: what is too long loses its end
     */
    Pieces encode(List<String> words, int most);

    @Override
    void close();
}
