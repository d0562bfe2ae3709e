package dev.nibble.models.text;

import java.util.ArrayList;
import java.util.List;

/**
 * Texts as tokens, with their labels. Immutable.
 *
 * @param sequences tokens of each text; the arrays must not be changed
 * @param labels number of the class of each text; must not be changed
 */
public record TokenizedTexts(List<int[]> sequences, int[] labels) {
    /** Copies the list. */
    public TokenizedTexts {
        sequences = List.copyOf(sequences);
    }

    /**
     * {@return texts as tokens}
     *
     * @param classes names of the classes
     * @param most tokens of a text that are kept
     */
    public static TokenizedTexts of(List<LabelledText> texts, List<String> classes, TextTokenizer tokenizer, int most) {
        List<int[]> sequences = new ArrayList<>();
        int[] labels = new int[texts.size()]; // [texts]
        for (int i = 0; i < labels.length; i++) {
            sequences.add(tokenizer.encode(texts.get(i).text(), most));
            labels[i] = classes.indexOf(texts.get(i).label());
        }
        return new TokenizedTexts(sequences, labels);
    }

    /** {@return how many there are} */
    public int count() {
        return labels.length;
    }

    /** {@return one more than the largest token} */
    public int vocabulary() {
        int largest = 0;
        for (int[] sequence : sequences) {
            for (int token : sequence) {
                largest = Math.max(largest, token);
            }
        }
        return largest + 1;
    }
}
