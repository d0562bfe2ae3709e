package dev.nibble.models.text;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.SequencedMap;
import java.util.regex.Pattern;

/**
 * How many spans of tags are found: precision, recall and F1 over all of them, a span counting only if first word, last word and type are
 * right. Spans are read from tags as conlleval (Tjong Kim Sang and Buchholz 2000) and seqeval do by default, whichever of the schemes IOB1,
 * IOB2 and IOBES they are in: a tag is O, or a type behind {@code B-}, {@code I-}, {@code E-} or {@code S-}. A word goes on with the span of
 * the word before it if its tag is I or E, the one before is B or I, and both have one type; else it begins a span.
 */
public final class EntityScores {
    /** What is scored, as in {@link #scores()}. */
    public static final List<String> NAMES = List.of("entityPrecision", "entityRecall", "entityF1");

    private static final String OUTSIDE = "O";
    private static final Pattern TAG = Pattern.compile("O|[BIES]-.+", Pattern.DOTALL);

    private final List<String> tags;
    private final boolean spans;
    private long wanted;
    private long found;
    private long right;

    /**
     * Begins with nothing counted.
     *
     * @param tags names of the tags; if they are no such scheme, there are no spans to find, and the scores are NaN
     */
    public EntityScores(List<String> tags) {
        this.tags = List.copyOf(tags);
        this.spans = tags.stream().allMatch(tag -> TAG.matcher(tag).matches());
    }

    /** {@return whether the tags are of such a scheme} */
    public boolean hasSpans() {
        return spans;
    }

    /** Begins anew. */
    public void clear() {
        wanted = 0;
        found = 0;
        right = 0;
    }

    /**
     * Counts the spans of a sentence.
     *
     * @param answers numbers of the tags that are right, [words]
     * @param guesses numbers of the tags that were found, [words]
     */
    public void add(int[] answers, int[] guesses) {
        if (!spans) {
            return;
        }
        int words = answers.length;
        boolean together = false; // two spans of one type that began at the same word are open in both
        for (int i = 0; i <= words; i++) {
            boolean answerBegins = begins(answers, i);
            boolean guessBegins = begins(guesses, i);
            boolean answerEnds = ends(answers, i);
            boolean guessEnds = ends(guesses, i);
            if (together && (answerEnds || guessEnds)) {
                right += answerEnds && guessEnds ? 1 : 0;
                together = false;
            }
            wanted += answerBegins ? 1 : 0;
            found += guessBegins ? 1 : 0;
            if (answerBegins && guessBegins && type(answers[i]).equals(type(guesses[i]))) {
                together = true;
            }
        }
    }

    /** {@return whether a span begins at a word} */
    private boolean begins(int[] sentence, int word) {
        return word < sentence.length && !isOutside(sentence[word]) && !goesOn(sentence, word);
    }

    /** {@return whether a span ends before a word} */
    private boolean ends(int[] sentence, int word) {
        return word > 0 && !isOutside(sentence[word - 1]) && !goesOn(sentence, word);
    }

    private boolean goesOn(int[] sentence, int word) {
        if (word == 0 || word == sentence.length || isOutside(sentence[word]) || isOutside(sentence[word - 1])) {
            return false;
        }
        char here = tags.get(sentence[word]).charAt(0);
        char before = tags.get(sentence[word - 1]).charAt(0);
        return (here == 'I' || here == 'E')
                && (before == 'B' || before == 'I')
                && type(sentence[word]).equals(type(sentence[word - 1]));
    }

    private boolean isOutside(int tag) {
        return tags.get(tag).equals(OUTSIDE);
    }

    private String type(int tag) {
        return tags.get(tag).substring(2);
    }

    /** {@return precision, recall and F1, each 0 if there is nothing to divide by, or NaN if there can be no spans} */
    public SequencedMap<String, Double> scores() {
        double precision = share(right, found);
        double recall = share(right, wanted);
        double f1 = precision + recall > 0 ? 2 * precision * recall / (precision + recall) : 0;
        SequencedMap<String, Double> scores = new LinkedHashMap<>();
        scores.put(NAMES.get(0), spans ? precision : Double.NaN);
        scores.put(NAMES.get(1), spans ? recall : Double.NaN);
        scores.put(NAMES.get(2), spans ? f1 : Double.NaN);
        return Collections.unmodifiableSequencedMap(scores);
    }

    private static double share(long part, long all) {
        return all == 0 ? 0 : (double) part / all;
    }
}
