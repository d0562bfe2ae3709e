package dev.nibble.reference;

import static dev.nibble.host.HostTensor.floats;
import static dev.nibble.reference.Differences.U;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.tensor.Tensor;
import java.util.Arrays;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ReferenceCrossEntropyTests {
    private final TestScope scope = TestScope.create();
    private final ReferenceNeural ops = new ReferenceNeural(scope.runtime());

    private static double loss(double[] logits, int[] targets, int vocabulary, float weight) {
        double loss = 0;
        for (int row = 0; row < targets.length; row++) {
            double sum = 0;
            for (int i = 0; i < vocabulary; i++) {
                sum += Math.exp(logits[row * vocabulary + i]);
            }
            loss += Math.log(sum) - logits[row * vocabulary + targets[row]];
        }
        return weight * loss / targets.length;
    }

    @ParameterizedTest
    @CsvSource({"1, 1", "13, 13", "3, 127", "3, 128", "3, 129"})
    void lossAndGradientAreThoseOfTheDefinition(int tokens, int vocabulary) {
        SplittableRandom random = new SplittableRandom(vocabulary);
        float[] x = Differences.normal(random, tokens * vocabulary, 3); // [tokens, vocabulary]
        int[] t = random.ints(tokens, 0, vocabulary).toArray(); // [tokens]
        float weight = 0.25f;
        Tensor logits = scope.floats("logits", x, tokens, vocabulary);
        Tensor loss = scope.floats("loss", new float[] {2f}, 1);
        ops.crossEntropy(scope, logits, scope.ints("targets", t), loss, weight, true);

        double[] exact = Differences.widen(x); // [tokens, vocabulary]
        // Logits lie within 30 of their maximum: the difference errs by 30u, exp by 2u, the sum by vocabulary/16 + 4
        // roundings, its reciprocal and the two products by 3u.
        double share = (30 + 2 + vocabulary / 16.0 + 4 + 3) * U;
        double expected = 2 + loss(exact, t, vocabulary, weight);
        assertEquals(expected, floats(loss)[0], weight * share + 2 * U * expected);
        for (int i = 0; i < x.length; i++) {
            double derivative = Differences.derivative(v -> loss(v, t, vocabulary, weight), exact, i);
            boolean isTarget = t[i / vocabulary] == i % vocabulary;
            double p = derivative * tokens / weight + (isTarget ? 1 : 0);
            double bound = weight / tokens * (share * p + (isTarget ? 3 * U : 0)) + 1e-9;
            assertEquals(derivative, floats(logits)[i], bound);
        }
    }

    @Test
    void withoutGradientLogitsStay() {
        float[] x = {1f, 2f, 3f, 4f}; // [2, 2]
        Tensor logits = scope.floats("logits", x, 2, 2);
        Tensor loss = scope.floats("loss", new float[1], 1);
        ops.crossEntropy(scope, logits, scope.ints("targets", 0, 1), loss, 1f, false);
        assertArrayEquals(x, floats(logits));
        assertEquals(0.813261688, floats(loss)[0], 4 * U); // log(1 + e) - 1/2
    }

    /** Parts of tokens have the gradients of all, and losses that add up to theirs but for the rounding of each. */
    @Test
    void partsOfTheTokensMakeTheWhole() {
        int tokens = 300;
        int vocabulary = 37;
        SplittableRandom random = new SplittableRandom(3);
        float[] x = Differences.normal(random, tokens * vocabulary, 3); // [tokens, vocabulary]
        Tensor targets =
                scope.ints("targets", random.ints(tokens, 0, vocabulary).toArray());
        Tensor logits = scope.floats("logits", x.clone(), tokens, vocabulary);
        Tensor loss = scope.floats("loss", new float[1], 1);
        ops.crossEntropy(scope, logits, targets, loss, 0.3f, true);

        float[] gradients = new float[x.length]; // [tokens, vocabulary]
        Tensor sum = scope.floats("sum", new float[1], 1);
        int[] places = {0, 1, 129, 300};
        for (int part = 0; part + 1 < places.length; part++) {
            int from = places[part] * vocabulary;
            int rows = places[part + 1] - places[part];
            Tensor some = scope.floats("some", Arrays.copyOfRange(x, from, from + rows * vocabulary), rows, vocabulary);
            ops.crossEntropy(scope, some, targets, places[part], sum, 0.3f, true);
            System.arraycopy(floats(some), 0, gradients, from, rows * vocabulary);
        }
        assertArrayEquals(floats(logits), gradients);
        assertEquals(floats(loss)[0], floats(sum)[0], 2 * places.length * U * floats(loss)[0]);
    }

    @Test
    void tokensThatAreNotThereAreRefused() {
        Tensor logits = scope.floats("logits", new float[4], 2, 2);
        Tensor loss = scope.floats("loss", new float[1], 1);
        Tensor targets = scope.ints("targets", 0, 1, 1);
        for (int first : new int[] {-1, 2}) {
            IllegalArgumentException e = assertThrows(
                    IllegalArgumentException.class,
                    () -> ops.crossEntropy(scope, logits, targets, first, loss, 1f, false));
            assertEquals("targets is [3], but must hold 2 values from place " + first + " on", e.getMessage());
        }
        IllegalArgumentException e = assertThrows(
                IllegalArgumentException.class, () -> ops.crossEntropy(scope, logits, targets, loss, 1f, false));
        assertEquals("targets is [3], but must be [2]: one for each row of the logits", e.getMessage());
    }

    @Test
    void nanLogitGivesNanLoss() {
        Tensor logits = scope.floats("logits", new float[] {Float.NaN, 0f}, 1, 2);
        Tensor loss = scope.floats("loss", new float[1], 1);
        ops.crossEntropy(scope, logits, scope.ints("targets", 1), loss, 1f, true);
        assertTrue(Float.isNaN(floats(loss)[0]));
    }

    @Test
    void targetOutsideTheVocabularyIsRefused() {
        Tensor logits = scope.floats("logits", new float[4], 2, 2);
        Tensor loss = scope.floats("loss", new float[1], 1);
        Tensor targets = scope.ints("targets", 0, 2);
        IllegalArgumentException e = assertThrows(
                IllegalArgumentException.class, () -> ops.crossEntropy(scope, logits, targets, loss, 1f, false));
        assertEquals("targets[1] is 2, but must be in 0..1", e.getMessage());
    }
}
