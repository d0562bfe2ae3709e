package dev.nibble.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.error.NonFiniteException;
import dev.nibble.random.Purpose;
import dev.nibble.random.RandomStream;
import dev.nibble.tensor.Role;
import java.util.Comparator;
import java.util.List;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.TreeSet;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class TokenSamplingTests {
    /** Probabilities 0.1, 0.4, 0.2, 0.3. */
    private static final float[] LOGITS = {
        (float) Math.log(0.1), (float) Math.log(0.4), (float) Math.log(0.2), (float) Math.log(0.3)
    };

    private static Set<Integer> chosen(TokenSampling sampling) {
        Set<Integer> chosen = new TreeSet<>();
        for (int number = 0; number < 1000; number++) {
            chosen.add(sampling.next(LOGITS, 0, number));
        }
        return chosen;
    }

    @Test
    void temperatureZeroTakesTheFirstOfTheLargest() {
        TokenSampling greedy = new TokenSampling(0, 0, 1, 7);
        assertEquals(1, greedy.next(LOGITS, 0, 0));
        assertEquals(1, greedy.next(new float[] {2, 3, 3}, 0, 5));
        assertEquals(0, greedy.next(new float[] {-1}, 0, 0));
    }

    @ParameterizedTest
    @CsvSource({"1, 0.1, 0.4, 0.2, 0.3", "0.5, 0.033333, 0.533333, 0.133333, 0.3"}) // p² over their sum
    void tokensComeAsOftenAsTheirProbability(double temperature, double p0, double p1, double p2, double p3) {
        int draws = 20_000;
        int[] counts = new int[4];
        TokenSampling sampling = new TokenSampling(temperature, 0, 1, 3);
        for (int number = 0; number < draws; number++) {
            counts[sampling.next(LOGITS, 0, number)]++;
        }
        double[] expected = {p0, p1, p2, p3};
        for (int token = 0; token < 4; token++) {
            double p = expected[token];
            double standardError = Math.sqrt(p * (1 - p) / draws);
            assertEquals(p, counts[token] / (double) draws, 5 * standardError, "token " + token);
        }
    }

    @Test
    void topKAndTopPKeepTheMostProbable() {
        assertEquals(Set.of(0, 1, 2, 3), chosen(new TokenSampling(1, 0, 1, 1)));
        assertEquals(Set.of(0, 1, 2, 3), chosen(new TokenSampling(1, 9, 1, 1)));
        assertEquals(Set.of(1), chosen(new TokenSampling(1, 1, 1, 1)));
        assertEquals(Set.of(1, 3), chosen(new TokenSampling(1, 2, 1, 1)));
        assertEquals(Set.of(1), chosen(new TokenSampling(1, 0, 1e-9, 1)));
        assertEquals(Set.of(1, 3), chosen(new TokenSampling(1, 0, 0.5, 1)));
        assertEquals(Set.of(1, 2, 3), chosen(new TokenSampling(1, 0, 0.75, 1)));
        // of what top-k leaves, 0.4 of 0.7 is 57 %
        assertEquals(Set.of(1), chosen(new TokenSampling(1, 2, 0.55, 1)));
    }

    @Test
    void seedAndNumberDecide() {
        TokenSampling one = new TokenSampling(1, 0, 1, 1);
        int same = 0;
        for (int number = 0; number < 100; number++) {
            assertEquals(one.next(LOGITS, 0, number), new TokenSampling(1, 0, 1, 1).next(LOGITS, 0, number));
            same += one.next(LOGITS, 0, number) == new TokenSampling(1, 0, 1, 2).next(LOGITS, 0, number) ? 1 : 0;
        }
        assertTrue(same < 60, same + " of 100 are the same under another seed"); // 30 are, on average, ± 4.6
    }

    @Test
    void samplesDrawNumbersOfTheirOwn() {
        TokenSampling sampling = new TokenSampling(1, 0, 1, 1);
        int same = 0;
        for (int number = 0; number < 100; number++) {
            int first = sampling.next(LOGITS, 0, number);
            assertEquals(sampling.next(LOGITS, 5, number), sampling.next(LOGITS, 5, number));
            same += first == sampling.next(LOGITS, 5, number) ? 1 : 0;
        }
        assertTrue(same < 60, same + " of 100 are the same in another sample"); // 30 are, on average, ± 4.6
    }

    /** Shares of what is left: top-k 3 leaves 0.4, 0.3 and 0.2, of which the first two are 7 of 9; of those 0.4 is 4 of 7. */
    @Test
    void whatIsLeftKeepsItsProportions() {
        int draws = 20_000;
        int[] counts = new int[4];
        TokenSampling sampling = new TokenSampling(1, 3, 0.6, 9);
        for (int number = 0; number < draws; number++) {
            counts[sampling.next(LOGITS, 2, number)]++;
        }
        double p = 4.0 / 7;
        assertEquals(draws, counts[1] + counts[3]);
        assertEquals(p, counts[1] / (double) draws, 5 * Math.sqrt(p * (1 - p) / draws));
    }

    /** Each draw against the definition: all probabilities, in the order of the logits, cut, and the first sum above u. */
    @Test
    void drawsAreThoseOfTheDefinition() {
        SplittableRandom random = new SplittableRandom(5);
        for (int number = 0; number < 500; number++) {
            float[] logits = new float[300]; // [vocabulary], of which many are equal, and some are zeros of both signs
            for (int i = 0; i < logits.length; i++) {
                logits[i] = Math.round(6 * random.nextGaussian()) / 4f;
            }
            TokenSampling sampling = new TokenSampling(0.7, number % 3 * 40, number % 2 == 0 ? 0.8 : 1, 12);
            List<Integer> order = IntStream.range(0, logits.length)
                    .boxed()
                    .sorted(Comparator.comparingDouble((Integer i) -> -logits[i])
                            .thenComparing(i -> i))
                    .limit(sampling.topK() == 0 ? logits.length : sampling.topK())
                    .toList();
            double sum =
                    order.stream().mapToDouble(i -> weight(logits, order, i)).sum();
            double kept = 0;
            int last = -1;
            while (last < order.size() - 1 && kept < sampling.topP() * sum) {
                kept += weight(logits, order, order.get(++last));
            }
            double drawn = new RandomStream(12, number, 1, 0, Role.OTHER, Purpose.GENERATION, 0).uniform(0) * kept;
            double before = 0;
            int chosen = 0;
            while (chosen < last && before + weight(logits, order, order.get(chosen)) <= drawn) {
                before += weight(logits, order, order.get(chosen++));
            }
            assertEquals(order.get(chosen), sampling.next(logits, 1, number), "draw " + number);
        }
    }

    private static double weight(float[] logits, List<Integer> order, int token) {
        return StrictMath.exp((logits[token] - (double) logits[order.getFirst()]) / 0.7);
    }

    @Test
    void logitsFarApartAreNoTrouble() {
        float[] far = {-3e38f, 0, 3e38f};
        assertEquals(2, new TokenSampling(1e-3, 0, 1, 1).next(far, 0, 0));
        assertEquals(2, new TokenSampling(1e3, 0, 1, 1).next(far, 0, 0));
    }

    @Test
    void whatIsNotFiniteIsNamed() {
        NonFiniteException e = assertThrows(
                NonFiniteException.class, () -> new TokenSampling(1, 0, 1, 1).next(new float[] {1, Float.NaN}, 0, 3));
        assertEquals(
                "the logit of token 1 is NaN after 3 new tokens, but must be finite; try another quantizer",
                e.getMessage());
    }

    @Test
    void everyUnfitValueIsNamed() {
        ConfigurationException e = assertThrows(ConfigurationException.class, () -> new TokenSampling(-1, -2, 1.5, 0));
        assertEquals(3, e.problems().size(), e.getMessage());
        assertThrows(ConfigurationException.class, () -> new TokenSampling(Double.NaN, 0, 1, 0));
        assertThrows(ConfigurationException.class, () -> new TokenSampling(1, 0, 0, 0));
        assertThrows(ConfigurationException.class, () -> new TokenSampling(1, 0, Double.NaN, 0));
    }
}
