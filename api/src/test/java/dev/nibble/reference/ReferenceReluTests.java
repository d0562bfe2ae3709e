package dev.nibble.reference;

import static dev.nibble.host.HostTensor.floats;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.nibble.tensor.Tensor;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ReferenceReluTests {
    private final TestScope scope = TestScope.create();
    private final ReferenceNeural ops = new ReferenceNeural(scope.runtime());

    /** At x = ±h the central difference is that of the corner, not of either side: none of the values is so small. */
    @ParameterizedTest
    @CsvSource({"1, 1", "13, 13", "2, 129", "257, 128"}) // the last has more than one chunk
    void gradientIsThatOfTheForwardPass(int rows, int cols) {
        SplittableRandom random = new SplittableRandom(cols);
        float[] x = Differences.normal(random, rows * cols, 3); // [rows, cols]
        float[] c = Differences.normal(random, rows * cols, 1); // [rows, cols]
        Tensor input = scope.floats("x", x, rows, cols);
        Tensor output = ops.relu(scope, input);
        float[] y = floats(output); // [rows, cols]
        float[] grad = floats(ops.reluBackward(scope, scope.floats("gradOutput", c, rows, cols), output));
        for (int i = 0; i < x.length; i++) {
            double slope =
                    (Math.max(x[i] + Differences.H, 0) - Math.max(x[i] - Differences.H, 0)) / (2 * Differences.H);
            assertEquals(x[i] > 0 ? x[i] : 0f, y[i]);
            // both results are exact; the difference in FP64 errs by about 2^-53 · |x| / h
            assertEquals(c[i] * slope, grad[i], Math.abs(c[i]) * 1e-8);
        }
    }

    @Test
    void zeroHasNoSignAndNanStays() {
        float[] x = {0f, -0f, Float.MIN_VALUE, -Float.MIN_VALUE, Float.MAX_VALUE, -Float.MAX_VALUE, Float.NaN};
        Tensor y = ops.relu(scope, scope.floats("x", x, 1, 7));
        // assertArrayEquals tells 0 from -0, and takes NaN as equal to itself
        assertArrayEquals(new float[] {0f, 0f, Float.MIN_VALUE, 0f, Float.MAX_VALUE, 0f, Float.NaN}, floats(y));
        Tensor dy = scope.floats("gradOutput", new float[] {1, 2, 3, 4, 5, 6, 7}, 1, 7);
        assertArrayEquals(new float[] {0, 0, 3, 0, 5, 0, 7}, floats(ops.reluBackward(scope, dy, y)));
    }

    @Test
    void infinityIsKeptAndClipped() {
        float[] x = {Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY};
        assertArrayEquals(
                new float[] {Float.POSITIVE_INFINITY, 0f}, floats(ops.relu(scope, scope.floats("x", x, 1, 2))));
    }

    @Test
    void gradientOfAnotherShapeIsRefused() {
        Tensor y = scope.floats("y", new float[6], 2, 3);
        Tensor dy = scope.floats("gradOutput", new float[6], 3, 2);
        IllegalArgumentException e = assertThrows(IllegalArgumentException.class, () -> ops.reluBackward(scope, dy, y));
        assertEquals("gradOutput is [3, 2], but must be [2, 3]", e.getMessage());
    }
}
