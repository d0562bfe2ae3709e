package dev.nibble.models.data;

import java.util.List;
import java.util.OptionalInt;

/** What stands between a text and the tokens of a language model. Belongs to one thread at a time. */
public interface Vocabulary extends AutoCloseable {
    /** {@return how many tokens there are: 0 to one less} */
    int size();

    /** {@return the tokens of a text, none added} */
    int[] encode(String text);

    /** {@return the text of tokens; what is no whole character, the end perhaps, is U+FFFD} */
    String decode(List<Integer> tokens);

    /** {@return the token behind which another text begins, if there is one} */
    default OptionalInt endOfText() {
        return OptionalInt.empty();
    }

    @Override
    void close();
}
