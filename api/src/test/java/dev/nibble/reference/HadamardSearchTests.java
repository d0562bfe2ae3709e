package dev.nibble.reference;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.host.HostTensor;
import dev.nibble.quant.HadamardSearch;
import dev.nibble.spi.DeviceState;
import dev.nibble.state.StateVector;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class HadamardSearchTests {
    private static final int TOP = 7;

    private static float search(float[] x, float[] w, int cols, Integer... sizes) {
        try (Session session = new Session()) {
            DeviceState state = session.state(StateVector.scalar("log2", -1));
            session.backend
                    .quantization()
                    .search(
                            session.scope,
                            new HadamardSearch(List.of(sizes), TOP, "log2"),
                            session.tensor(x, x.length / cols, cols),
                            session.tensor(w, w.length / cols, cols),
                            state);
            return HostTensor.floats(state.get("log2"))[0];
        }
    }

    /** ‖x - what its codes mean‖² in FP64, transforms by the matrix. */
    private static double squaredError(float[] x, int size) {
        double[] y = new double[x.length]; // transformed, [elements]
        double magnitudes = 0;
        for (int i = 0; i < x.length; i++) {
            for (int k = 0; k < size; k++) {
                int sign = Integer.bitCount(i % size & k) % 2 == 0 ? 1 : -1;
                y[i] += sign * (double) x[i / size * size + k] / Math.sqrt(size);
            }
            magnitudes += Math.abs(y[i]);
        }
        double step = 2 * magnitudes / x.length / Math.sqrt(7) + 1e-10;
        double sum = 0;
        for (double value : y) {
            sum += Math.pow(value - step * Math.clamp(Math.rint(value / step), -TOP, TOP), 2);
        }
        return sum;
    }

    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3, 4, 5, 6})
    void searchFindsTheSmallestProductOfErrors(long seed) {
        float[] x = Data.withOutliers(seed, 24 * 64, (int) (10 * seed * seed));
        float[] w = Data.normal(seed + 10, 8 * 64);
        Integer[] sizes = {1, 2, 4, 8, 16, 32, 64};
        double[] scores = Arrays.stream(sizes)
                .mapToDouble(size -> squaredError(x, size) * squaredError(w, size))
                .toArray(); // [sizes]
        double found = scores[(int) search(x, w, 64, sizes)];
        // In FP32 an error is off by at most 40u · 7 steps, where errors have a deviation of 0.29 steps: a sum of
        // squares by
        // 1.2e-4 of itself, a score by 2.4e-4, and two scores differ in FP32 as they do here up to 5e-4.
        assertEquals(Arrays.stream(scores).min().orElseThrow(), found, 5e-4 * found);
    }

    @Test
    void searchTakesTheSmallerSizeOnTies() {
        assertEquals(0, search(new float[64], new float[64], 32, 1, 2, 4, 8, 16, 32)); // no error at any size
        assertEquals(2, search(new float[64], new float[64], 32, 4, 8));
        float[] x = Data.normal(1, 64);
        assertEquals(3, search(x, new float[64], 32, 8, 16, 32), "one error of 0 makes every score 0");
    }

    @Test
    void searchSpreadsAnOutlierChannel() {
        float[] x = Data.normal(1, 64 * 64);
        for (int row = 0; row < 64; row++) {
            x[row * 64 + 17] *= 100;
        }
        assertTrue(search(x, Data.normal(2, 16 * 64), 64, 1, 2, 4, 8, 16, 32, 64) >= 4);
    }

    @Test
    void searchOfWhatIsNotFiniteTakesTheFirstSize() {
        float[] x = Data.normal(1, 64);
        x[5] = Float.NaN;
        assertEquals(1, search(x, Data.normal(2, 64), 32, 2, 4, 8));
    }
}
