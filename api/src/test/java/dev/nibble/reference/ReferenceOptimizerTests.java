package dev.nibble.reference;

import static dev.nibble.host.HostTensor.floats;
import static dev.nibble.reference.Differences.U;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.spi.AdamW;
import dev.nibble.spi.Control;
import dev.nibble.spi.Site;
import dev.nibble.tensor.Role;
import dev.nibble.tensor.Tensor;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class ReferenceOptimizerTests {
    private static final float LEARNING_RATE = 1e-2f;
    private static final AdamW SPEC = new AdamW(0.9f, 0.95f, 1e-8f, 0.1f);

    private final TestScope scope = TestScope.withLearningRate(LEARNING_RATE);
    private final ReferenceOptimizer ops = new ReferenceOptimizer(scope.runtime());
    private final Tensor control = scope.floats("control", new float[Control.count()], Control.count());

    private float control(Control element) {
        return floats(control)[element.ordinal()];
    }

    private Tensor zeros(int length) {
        return scope.floats("zeros", new float[length], length);
    }

    @Test
    void normAboveTheLargestIsClipped() {
        List<Tensor> gradients =
                List.of(scope.floats("a", new float[] {3f}, 1), scope.floats("b", new float[] {0f, -4f}, 2));
        ops.control(scope, gradients, 1f, control);
        assertArrayEquals(new float[] {5f, 0.2f, 0f, 1f, scope.context().learningRate()}, floats(control));
        ops.control(scope, gradients, 10f, control);
        assertArrayEquals(new float[] {5f, 1f, 0f, 2f, scope.context().learningRate()}, floats(control));
    }

    @Test
    void gradientsOfZeroAreNotClipped() {
        ops.control(scope, List.of(zeros(13)), 1f, control);
        assertArrayEquals(new float[] {0f, 1f, 0f, 1f, scope.context().learningRate()}, floats(control));
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 13, 4095, 4096, 4097, 10_000})
    void normIsRoundedOnceFromFp64(int length) {
        float[] x = Differences.normal(new SplittableRandom(length), length, 1e30); // squares overflow FP32
        double sum = 0;
        for (float v : x) {
            sum += (double) v * v;
        }
        ops.control(scope, List.of(scope.floats("x", x, length)), 1f, control);
        // FP64 sums of 10^4 terms differ by at most 10^4 · 2^-53 between orders: far below half an ulp of FP32.
        assertEquals(Math.sqrt(sum), control(Control.GRADIENT_NORM), 1.001 * U * Math.sqrt(sum));
        assertEquals(0f, control(Control.SKIPPED));
    }

    @ParameterizedTest
    @ValueSource(floats = {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY, 3.4e38f})
    void normThatIsNotFiniteSkipsTheStep(float bad) {
        // 3.4e38 twice: each is finite, but the norm is above the largest float.
        Tensor gradient = scope.floats("gradient", new float[] {bad, bad}, 2);
        ops.control(scope, List.of(gradient), 1f, control);
        assertEquals(1f, control(Control.SKIPPED));
        assertEquals(0f, control(Control.UPDATES));
    }

    @Test
    void operandThatWasNotFiniteSkipsTheStep() {
        scope.runtime().noteNonFinite(new Site("head", 9), Role.INPUT);
        ops.control(scope, List.of(zeros(2)), 1f, control);
        assertEquals(1f, control(Control.SKIPPED));
        scope.runtime().takeNonFinite();
        ops.control(scope, List.of(zeros(2)), 1f, control);
        assertEquals(0f, control(Control.SKIPPED));
        assertEquals(1f, control(Control.UPDATES));
    }

    @Test
    void skippedStepLeavesParametersAndMoments() {
        float[] start = {1f, 2f, 3f}; // [3]
        Tensor p = scope.floats("p", start, 3);
        Tensor m = scope.floats("m", start, 3);
        Tensor v = scope.floats("v", start, 3);
        Tensor g = scope.floats("g", new float[] {1f, Float.NaN, 1f}, 3);
        ops.control(scope, List.of(g), 1f, control);
        ops.adamW(scope, SPEC, true, p, g, m, v, control);
        for (Tensor tensor : List.of(p, m, v)) {
            assertArrayEquals(start, floats(tensor));
        }
    }

    @Test
    void clippedGradientEntersTheMoments() {
        Tensor g = scope.floats("g", new float[] {3f, 4f}, 2);
        Tensor m = zeros(2);
        ops.control(scope, List.of(g), 1f, control);
        ops.adamW(scope, SPEC, false, zeros(2), g, m, zeros(2), control);
        assertArrayEquals(new float[] {(1f - 0.9f) * (3f * 0.2f), (1f - 0.9f) * (4f * 0.2f)}, floats(m));
    }

    /**
     * One update rounds m and v at most four times each, so after T updates they err by 4T·u of the sums of the
     * absolute terms; with the corrections, root, quotient and sum the step errs by (8T + 10)·u of |m|'s sum over
     * sqrt(v), and the parameter is rounded twice. T updates add up.
     */
    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void severalUpdatesFollowTheFormula(boolean decay) {
        int length = 129;
        int updates = 20;
        SplittableRandom random = new SplittableRandom(7);
        float[] start = Differences.normal(random, length, 1); // [129]
        Tensor p = scope.floats("p", start, length);
        Tensor first = zeros(length);
        Tensor second = zeros(length);
        double[] exact = Differences.widen(start); // [129]
        double[] m = new double[length]; // [129]
        double[] absolute = new double[length]; // [129]
        double[] v = new double[length]; // [129]
        double[] bound = new double[length]; // [129]
        for (int t = 1; t <= updates; t++) {
            float[] g = Differences.normal(random, length, 0.01); // [129]
            Tensor gradient = scope.floats("g", g, length);
            ops.control(scope, List.of(gradient), 1e9f, control);
            ops.adamW(scope, SPEC, decay, p, gradient, first, second, control);
            for (int i = 0; i < length; i++) {
                m[i] = SPEC.beta1() * m[i] + (1 - (double) SPEC.beta1()) * g[i];
                absolute[i] = SPEC.beta1() * absolute[i] + (1 - (double) SPEC.beta1()) * Math.abs(g[i]);
                v[i] = SPEC.beta2() * v[i] + (1 - (double) SPEC.beta2()) * g[i] * g[i];
                double root = Math.sqrt(v[i] / (1 - Math.pow(SPEC.beta2(), t))) + SPEC.epsilon();
                double correction = 1 - Math.pow(SPEC.beta1(), t);
                double weightDecay = decay ? SPEC.weightDecay() : 0;
                exact[i] -= LEARNING_RATE * (m[i] / correction / root + weightDecay * exact[i]);
                bound[i] +=
                        LEARNING_RATE * (8 * t + 10) * U * absolute[i] / correction / root + 2 * U * Math.abs(exact[i]);
            }
        }
        assertEquals(updates, control(Control.UPDATES));
        for (int i = 0; i < length; i++) {
            assertEquals(exact[i], floats(p)[i], bound[i]);
            assertTrue(Math.abs(exact[i] - start[i]) > 10 * bound[i], "the bound says something about element " + i);
        }
    }
}
