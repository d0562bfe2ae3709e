package dev.nibble.reference;

import static dev.nibble.host.HostTensor.floats;
import static dev.nibble.reference.Differences.U;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.nibble.tensor.Tensor;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ReferenceSwiGluTests {
    private final TestScope scope = TestScope.create();
    private final ReferenceNeural ops = new ReferenceNeural(scope.runtime());

    private static double silu(double g) {
        return g / (1 + Math.exp(-g));
    }

    @ParameterizedTest
    @CsvSource({"1, 1", "13, 13", "2, 129"})
    void gradientsAreThoseOfTheForwardPass(int rows, int hidden) {
        SplittableRandom random = new SplittableRandom(hidden);
        float[] x = Differences.normal(random, rows * 2 * hidden, 3); // [rows, 2 · hidden]
        float[] c = Differences.normal(random, rows * hidden, 1); // [rows, hidden]
        Tensor gateUp = scope.floats("gateUp", x, rows, 2L * hidden);
        float[] h = floats(ops.swiGlu(scope, gateUp)); // [rows, hidden]
        Tensor dy = scope.floats("gradOutput", c, rows, hidden);
        float[] grad = floats(ops.swiGluBackward(scope, dy, gateUp)); // [rows, 2 · hidden]
        for (int i = 0; i < c.length; i++) {
            int gate = i / hidden * 2 * hidden + i % hidden;
            double g = x[gate];
            double up = x[gate + hidden];
            // The sigmoid has 4 roundings (exp counts for 2), h two more, the gradients at most 4 more.
            double share = 10 * U;
            assertEquals(silu(g) * up, h[i], share * Math.abs(silu(g) * up));
            assertEquals(c[i] * silu(g), grad[gate + hidden], share * Math.abs(c[i] * silu(g)));
            double slope = (silu(g + Differences.H) - silu(g - Differences.H)) / (2 * Differences.H);
            // slope = s + g·s·(1 - s): 1 - s errs by 5u, not by 5u of itself, and |g| multiplies that.
            double bound = Math.abs(c[i] * up) * (share * (1 + Math.abs(g)) + 1e-9);
            assertEquals(c[i] * up * slope, grad[gate], bound);
        }
    }

    @Test
    void largeGatesSaturate() {
        float[] x = {200f, -200f, 0f, -0f, 1f, 1f, 1f, 1f}; // [1, 8]
        Tensor gateUp = scope.floats("gateUp", x, 1, 8);
        float[] h = floats(ops.swiGlu(scope, gateUp)); // [1, 4]
        assertEquals(200f, h[0]);
        assertEquals(-0f, h[1]);
        assertEquals(0f, h[2]);
        assertEquals(-0f, h[3]);
        Tensor dy = scope.floats("gradOutput", new float[] {1f, 1f, 1f, 1f}, 1, 4);
        float[] grad = floats(ops.swiGluBackward(scope, dy, gateUp)); // [1, 8]
        assertEquals(1f, grad[0]);
        assertEquals(0f, Math.abs(grad[1]));
        assertEquals(0.5f, grad[2]);
        assertEquals(0.5f, grad[3]);
    }

    @Test
    void oddNumberOfColumnsIsRefused() {
        Tensor gateUp = scope.floats("gateUp", new float[6], 2, 3);
        IllegalArgumentException e = assertThrows(IllegalArgumentException.class, () -> ops.swiGlu(scope, gateUp));
        assertEquals("gateUp is [2, 3], but needs an even number of columns: gate, then up", e.getMessage());
    }
}
