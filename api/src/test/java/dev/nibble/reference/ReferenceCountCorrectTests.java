package dev.nibble.reference;

import static dev.nibble.host.HostTensor.floats;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.nibble.host.HostTensor;
import dev.nibble.tensor.Tensor;
import java.util.Arrays;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ReferenceCountCorrectTests {
    private final TestScope scope = TestScope.create();
    private final ReferenceNeural ops = new ReferenceNeural(scope.runtime());

    private float count(float[] logits, int... targets) {
        Tensor count = scope.floats("count", new float[] {0.5f}, 1);
        Tensor x = scope.floats("logits", logits, targets.length, logits.length / targets.length);
        ops.countCorrect(scope, x, scope.ints("targets", targets), count);
        return floats(count)[0] - 0.5f;
    }

    @ParameterizedTest
    @CsvSource({"1, 1", "13, 2", "127, 10", "128, 129", "129, 13"})
    void countIsThatOfSortedLogits(int rows, int classes) {
        SplittableRandom random = new SplittableRandom(rows);
        float[] logits = Differences.normal(random, rows * classes, 1); // [rows, classes]
        int[] targets = new int[rows]; // [rows]
        int expected = 0;
        for (int row = 0; row < rows; row++) {
            float[] own = Arrays.copyOfRange(logits, row * classes, (row + 1) * classes); // [classes]
            targets[row] = random.nextInt(Math.min(classes, 2));
            float answer = own[targets[row]];
            Arrays.sort(own);
            expected += own[classes - 1] == answer ? 1 : 0;
        }
        assertEquals(expected, count(logits, targets));
    }

    @Test
    void firstOfEqualLogitsIsTheAnswer() {
        assertEquals(1, count(new float[] {1, 3, 3, 2}, 1));
        assertEquals(0, count(new float[] {1, 3, 3, 2}, 2));
        assertEquals(1, count(new float[] {-0f, 0f}, 0));
        assertEquals(0, count(new float[] {-0f, 0f}, 1));
    }

    @Test
    void rowWithNanIsNotCorrectButOneWithInfinityMayBe() {
        assertEquals(0, count(new float[] {Float.NaN, 1, 2}, 0));
        assertEquals(0, count(new float[] {1, 2, Float.NaN}, 1));
        assertEquals(1, count(new float[] {1, Float.POSITIVE_INFINITY}, 1));
        assertEquals(1, count(new float[] {1, Float.NEGATIVE_INFINITY}, 0));
    }

    @Test
    void targetThatIsNoClassIsRefused() {
        HostTensor x = scope.floats("logits", new float[4], 2, 2);
        Tensor count = scope.floats("count", new float[1], 1);
        Tensor targets = scope.ints("targets", 1, 2);
        IllegalArgumentException e =
                assertThrows(IllegalArgumentException.class, () -> ops.countCorrect(scope, x, targets, count));
        assertEquals("targets[1] is 2, but must be in 0..1", e.getMessage());
    }
}
