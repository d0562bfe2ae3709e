package dev.nibble.models;

import dev.nibble.models.TextGenerator.Continuation;
import dev.nibble.models.TextGenerator.End;
import dev.nibble.models.data.Vocabulary;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.stream.Stream;

/** One text that goes on with a prompt, told part by part as far as the next tokens cannot change it. */
final class GrowingText {
    private static final String UNFINISHED = "\uFFFD"; // perhaps a part of a character, which the next token completes

    private final Vocabulary vocabulary;
    private final OptionalInt endOfText;
    private final List<String> stops;
    private final List<Integer> prompt;
    private final String before; // the prompt, as its tokens mean it
    private final List<Integer> added = new ArrayList<>();
    private final List<Integer> seen;
    private String text = "";
    private String told = ""; // of the text
    private Optional<End> end = Optional.empty();

    /**
     * Begins.
     *
     * @param endOfText the token that ends it
     * @param stops what ends it where it would begin
     */
    GrowingText(Vocabulary vocabulary, OptionalInt endOfText, List<String> stops, List<Integer> prompt) {
        this.vocabulary = vocabulary;
        this.endOfText = endOfText;
        this.stops = stops;
        this.prompt = prompt;
        this.before = vocabulary.decode(prompt);
        this.seen = new ArrayList<>(prompt);
    }

    /** {@return the tokens that the model sees} */
    List<Integer> seen() {
        return seen;
    }

    /** {@return whether it has come to its end} */
    boolean ended() {
        return end.isPresent();
    }

    /** Repeats the last token for the model alone, which sees texts of one length: this one has ended, others have not. */
    void keepUp() {
        seen.add(seen.getLast());
    }

    /** {@return the next part of the text, which may be empty} Adds a token. */
    String add(int token) {
        seen.add(token);
        added.add(token);
        if (endOfText.equals(OptionalInt.of(token))) {
            end = Optional.of(End.END_OF_TEXT);
            return rest();
        }
        text = decode();
        int stop = firstStop();
        if (stop >= 0) {
            end = Optional.of(End.STOP);
            text = text.substring(0, stop);
            return rest();
        }
        return text.endsWith(UNFINISHED) ? "" : tell(text.length() - held());
    }

    /** {@return what has not been told} */
    String rest() {
        return tell(text.length());
    }

    /**
     * {@return all of it}
     *
     * @param otherwise why it ended, if it did not come to an end of its own
     */
    Continuation continuation(End otherwise) {
        return new Continuation(prompt, added, text, end.orElse(otherwise));
    }

    private String tell(int length) {
        if (length <= told.length() || !text.startsWith(told)) {
            return "";
        }
        String part = text.substring(told.length(), length);
        told = text.substring(0, length);
        return part;
    }

    /** {@return what new tokens mean: what they add to the text before, since a tokenizer may leave a space out at its begin} */
    private String decode() {
        String all =
                vocabulary.decode(Stream.concat(prompt.stream(), added.stream()).toList());
        return all.startsWith(before) ? all.substring(before.length()) : vocabulary.decode(added);
    }

    /** {@return where the first of the texts begins that end it; -1 if none does} */
    private int firstStop() {
        return stops.stream()
                .mapToInt(text::indexOf)
                .filter(at -> at >= 0)
                .min()
                .orElse(-1);
    }

    /** {@return characters at the end that may turn out to be the begin of a text that ends it} */
    private int held() {
        int held = 0;
        for (String stop : stops) {
            for (int length = Math.min(stop.length() - 1, text.length()); length > held; length--) {
                if (text.endsWith(stop.substring(0, length))) {
                    held = length;
                }
            }
        }
        return held;
    }
}
