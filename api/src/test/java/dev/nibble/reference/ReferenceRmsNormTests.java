package dev.nibble.reference;

import static dev.nibble.host.HostTensor.floats;
import static dev.nibble.reference.Differences.U;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.nibble.spi.NeuralOps.Saved;
import dev.nibble.tensor.Tensor;
import java.util.Arrays;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ReferenceRmsNormTests {
    private static final float EPSILON = 1e-5f;

    private final TestScope scope = TestScope.create();
    private final ReferenceNeural ops = new ReferenceNeural(scope.runtime());

    private static double inverseRms(double[] x, int row, int width) {
        double squares = 0;
        for (int i = 0; i < width; i++) {
            squares += x[row * width + i] * x[row * width + i];
        }
        return 1 / Math.sqrt(squares / width + EPSILON);
    }

    /** {@return Σ c · y} */
    private static double loss(double[] x, double[] weight, float[] c) {
        int width = weight.length;
        double sum = 0;
        for (int i = 0; i < x.length; i++) {
            sum += c[i] * x[i] * inverseRms(x, i / width, width) * weight[i % width];
        }
        return sum;
    }

    @ParameterizedTest
    @CsvSource({"1, 1", "3, 13", "2, 127", "2, 128", "2, 129"})
    void gradientsAreThoseOfTheForwardPass(int rows, int width) {
        SplittableRandom random = new SplittableRandom(width);
        float[] x = Differences.normal(random, rows * width, 2); // [rows, width]
        float[] w = Differences.normal(random, width, 1); // [width]
        float[] c = Differences.normal(random, rows * width, 1); // [rows, width]
        Tensor xs = scope.floats("x", x, rows, width);
        Tensor ws = scope.floats("weight", w, width);
        Saved forward = ops.rmsNorm(scope, xs, ws, EPSILON);
        Tensor gradWeight = scope.floats("gradWeight", new float[width], width);
        Tensor dy = scope.floats("gradOutput", c, rows, width);
        float[] gradX = floats(ops.rmsNormBackward(scope, dy, xs, forward.saved(), ws, gradWeight));

        double[] exactX = Differences.widen(x); // [rows, width]
        double[] exactW = Differences.widen(w); // [width]
        // A row sum has width/16 + 4 roundings and enters r and c; r enters dx three times; few more operations follow.
        double roundings = 4 * (width / 16.0 + 8) + rows;
        for (int i = 0; i < x.length; i++) {
            int row = i / width;
            double r = inverseRms(exactX, row, width);
            double y = x[i] * r * w[i % width];
            assertEquals(y, floats(forward.output())[i], roundings * U * Math.abs(y));
            double dot = 0;
            for (int j = 0; j < width; j++) {
                dot += Math.abs((double) c[row * width + j] * w[j] * x[row * width + j]);
            }
            double magnitude = r * Math.abs(c[i] * w[i % width]) + r * r * r * Math.abs(x[i]) * dot / width;
            double expected = Differences.derivative(v -> loss(v, exactW, c), exactX, i);
            assertEquals(expected, gradX[i], roundings * U * magnitude + 1e-8);
        }
        for (int i = 0; i < width; i++) {
            double magnitude = 0;
            for (int row = 0; row < rows; row++) {
                magnitude += Math.abs(c[row * width + i] * x[row * width + i] * inverseRms(exactX, row, width));
            }
            double expected = Differences.derivative(v -> loss(exactX, v, c), exactW, i);
            assertEquals(expected, floats(gradWeight)[i], roundings * U * magnitude + 1e-8);
        }
    }

    @Test
    void gradientOfTheWeightIsAddedInChunksOf64Rows() {
        int rows = 129;
        float[] ones = new float[rows]; // [129, 1]
        Arrays.fill(ones, 1f);
        float[] dy = new float[rows]; // [129, 1]
        dy[0] = 0x1p24f;
        dy[1] = 1f; // lost beside 2^24 in its own chunk
        dy[64] = 1f; // these two meet first, in chunk 1
        dy[65] = 1f;
        dy[128] = 1f; // 2^24 + 2 + 1 lies between two floats and rounds to 2^24 + 4
        Tensor gradWeight = scope.floats("gradWeight", new float[] {1f}, 1);
        ops.rmsNormBackward(
                scope,
                scope.floats("gradOutput", dy, rows, 1),
                scope.floats("x", ones, rows, 1),
                scope.floats("inverseRms", ones, rows),
                scope.floats("weight", new float[] {1f}, 1),
                gradWeight);
        float chunks = 0x1p24f + 2f + 1f;
        assertArrayEquals(new float[] {1f + chunks}, floats(gradWeight));
    }

    @Test
    void rowOfZerosStaysZero() {
        Tensor x = scope.floats("x", new float[13], 1, 13);
        Tensor w = scope.floats("weight", Differences.normal(new SplittableRandom(1), 13, 1), 13);
        for (float y : floats(ops.rmsNorm(scope, x, w, EPSILON).output())) {
            assertEquals(0f, Math.abs(y));
        }
    }

    @Test
    void wrongWeightIsRefusedWithBothShapes() {
        Tensor x = scope.floats("x", new float[6], 2, 3);
        Tensor w = scope.floats("weight", new float[2], 2);
        IllegalArgumentException e =
                assertThrows(IllegalArgumentException.class, () -> ops.rmsNorm(scope, x, w, EPSILON));
        assertEquals("weight is [2], but must be [3]", e.getMessage());
    }
}
