package dev.nibble.models.text;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class EntityScoresTests {
    private int state = 1;

    private static int[] numbers(List<String> tags, String sentence) {
        return List.of(sentence.split(" ", -1)).stream().mapToInt(tags::indexOf).toArray();
    }

    private static List<Double> scores(List<String> tags, String... answersAndGuesses) {
        EntityScores scores = new EntityScores(tags);
        for (int i = 0; i < answersAndGuesses.length; i += 2) {
            scores.add(numbers(tags, answersAndGuesses[i]), numbers(tags, answersAndGuesses[i + 1]));
        }
        assertEquals(EntityScores.NAMES, List.copyOf(scores.scores().keySet()));
        return List.copyOf(scores.scores().values());
    }

    @Test
    void onlyWholeSpansOfTheRightTypeCount() {
        List<String> tags = List.of("B-LOC", "B-PER", "I-LOC", "I-PER", "O");
        assertEquals(
                List.of(0.5, 0.5, 0.5), scores(tags, "O B-LOC I-LOC O", "O B-LOC O O", "B-PER I-PER", "B-PER I-PER"));
        assertEquals(List.of(0.0, 0.0, 0.0), scores(tags, "B-PER I-PER O", "B-PER I-LOC O"));
        // the second B ends the first span; a span never goes on in the next sentence
        assertEquals(List.of(1.0, 1.0, 1.0), scores(tags, "B-PER B-PER I-PER", "B-PER B-PER I-PER", "I-PER", "I-PER"));
        assertEquals(List.of(1.0, 0.5, 2 / 3.0), scores(tags, "B-PER O B-LOC", "I-PER O O")); // I begins one, too
        assertEquals(List.of(0.0, 0.0, 0.0), scores(tags, "O O", "O O"));
    }

    @Test
    void tagsOfNoSchemeHaveNoScores() {
        EntityScores scores = new EntityScores(List.of("NOUN", "VERB"));
        scores.add(new int[] {0, 1}, new int[] {0, 0});
        assertFalse(scores.hasSpans());
        assertTrue(
                scores.scores().values().stream().allMatch(value -> value.isNaN()),
                scores.scores().toString());
    }

    @Test
    void clearForgets() {
        EntityScores scores = new EntityScores(List.of("B-X", "O"));
        scores.add(new int[] {0}, new int[] {1});
        scores.clear();
        scores.add(new int[] {0}, new int[] {0});
        assertEquals(1.0, scores.scores().get("entityF1"));
    }

    /** x = 1103515245 · x + 12345 modulo 2^31, of which the upper half counts: easy to have in another language. */
    private int next(int bound) {
        state = (int) ((1103515245L * state + 12345) & 0x7FFFFFFF);
        return (state >>> 16) % bound;
    }

    /** Precision, recall and F1 of the same sentences with seqeval 1.2.2's rules for spans. */
    @Test
    void scoresAreSeqevals() {
        assertEquals(
                List.of(516 / 788.0, 516 / 787.0, 0.6552380952380953),
                random(List.of("B-X", "B-Y", "I-X", "I-Y", "O")));
        assertEquals(
                List.of(690 / 926.0, 690 / 938.0, 0.740343347639485),
                random(List.of("B-X", "E-X", "E-Y", "I-X", "I-Y", "O", "S-X")));
    }

    private List<Double> random(List<String> tags) {
        EntityScores scores = new EntityScores(tags);
        for (int sentence = 0; sentence < 200; sentence++) {
            int words = 1 + next(12);
            int[] answers = new int[words];
            int[] guesses = new int[words];
            for (int i = 0; i < words; i++) {
                answers[i] = next(tags.size());
                int other = next(tags.size());
                guesses[i] = next(3) > 0 ? answers[i] : other;
            }
            scores.add(answers, guesses);
        }
        return new ArrayList<>(scores.scores().values());
    }
}
