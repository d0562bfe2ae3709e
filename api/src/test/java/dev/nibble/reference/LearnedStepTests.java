package dev.nibble.reference;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.gemm.Epilogue;
import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Product;
import dev.nibble.host.HostTensor;
import dev.nibble.quant.Contraction;
import dev.nibble.quant.Granularity;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.quant.ScaleRule;
import dev.nibble.quant.Statistic;
import dev.nibble.quant.StraightThrough;
import dev.nibble.quant.Transform;
import dev.nibble.spi.DeviceState;
import dev.nibble.spi.Quantized;
import dev.nibble.state.StateVector;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Role;
import dev.nibble.tensor.Tensor;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class LearnedStepTests {
    private static final double U = 0x1p-24;
    private static final int TOP = 7;
    private static final Transform HADAMARD = new Transform.BlockHadamard("hadamard");
    private static final PlaneSpec FIRST = PlaneSpec.value(
            DType.INT4, new Granularity.PerTensor(), new ScaleRule.MeanMagnitude(), Rounding.NEAREST_EVEN);

    private static StraightThrough clip(Transform transform) {
        return new StraightThrough(transform, "step", "stepGradient", TOP);
    }

    private static DeviceState state(Session session, float step, float gradient, float log2) {
        return session.state(
                StateVector.scalar("step", step),
                StateVector.scalar("stepGradient", gradient),
                StateVector.scalar("hadamard", log2));
    }

    private static float value(DeviceState state, String name) {
        return HostTensor.floats(state.get(name))[0];
    }

    /** One backward pass: the gradient of x, and that of the step. */
    private record Result(float[] gradient, float stepGradient) {}

    private static Result run(Transform transform, float[] r, float[] x, int rows, int cols, float step, float log2) {
        try (Session session = new Session()) {
            DeviceState state = state(session, step, 0, log2);
            Tensor gradient = session.tensor(r.clone(), rows, cols);
            Tensor tensor = session.tensor(x.clone(), rows, cols);
            session.backend.quantization().straightThrough(session.scope, clip(transform), gradient, tensor, state);
            assertArrayEquals(x, HostTensor.floats(tensor), "x is not modified");
            return new Result(HostTensor.floats(gradient).clone(), value(state, "stepGradient"));
        }
    }

    /** The surrogate that the straight-through estimator differentiates: rounding moves x by a constant. */
    private static double surrogate(float[] r, float[] x, double step, double at) {
        double sum = 0;
        for (int i = 0; i < x.length; i++) {
            double t = x[i] / step;
            double moved = Math.rint((float) t) - t; // the same code as in FP32
            double code = Math.abs(t) > TOP ? Math.copySign(TOP, t) : x[i] / at + moved;
            sum += r[i] * at * code;
        }
        return sum;
    }

    @ParameterizedTest
    @CsvSource({"1, 1", "1, 13", "3, 127", "2, 128", "5, 129"})
    void gradientOfTheStepIsThatOfTheSurrogate(int rows, int cols) {
        float[] x = Data.withOutliers(cols, rows * cols, 20);
        float[] r = Data.normal(cols + 1, rows * cols);
        float step = 0.6f;
        Result result = run(new Transform.Identity(), r, x, rows, cols, step, 0);
        double h = 1e-4; // the surrogate is linear in the step: no truncation, and FP64 rounding below 1e-11
        double slope = (surrogate(r, x, step, step + h) - surrogate(r, x, step, step - h)) / (2 * h);
        double magnitude = 0;
        for (int i = 0; i < x.length; i++) {
            magnitude += Math.abs((double) r[i]) * TOP; // |delta| is at most 7
        }
        double gain = 1 / Math.sqrt((double) TOP * rows * cols);
        // t is off by 8u at most, delta by 9u, and a sum of n terms by (n + 3)u of the magnitudes.
        double bound = gain * magnitude * 1.01 * (rows * cols + 12) * U + 1e-9;
        assertEquals(gain * slope, result.stepGradient(), bound);
    }

    @ParameterizedTest
    @CsvSource({"3, 32, 5", "2, 128, 7", "4, 48, 4", "5, 13, 0"})
    void gradientIsMaskedInTheTransformedDomainThenTransformed(int rows, int cols, int log2) {
        float[] x = Data.normal(cols, rows * cols);
        float[] r = Data.normal(cols + 1, rows * cols);
        float step = 0.2f; // clips beyond 1.4 deviations
        float[] transformed = x.clone(); // [rows, cols]
        Hadamard.transform(transformed, 0, transformed.length, log2);
        float[] expected = new float[r.length]; // [rows, cols]
        int clipped = 0;
        for (int i = 0; i < r.length; i++) {
            boolean inside = Math.abs(transformed[i] / step) <= TOP;
            expected[i] = inside ? r[i] : 0;
            clipped += inside ? 0 : 1;
        }
        assertTrue(clipped > 0 && clipped < r.length, clipped + " of " + r.length + " are clipped");
        Hadamard.transform(expected, 0, expected.length, log2);
        assertArrayEquals(expected, run(HADAMARD, r, x, rows, cols, step, log2).gradient());
    }

    @Test
    void boundaryIsInside() {
        float above = Math.nextUp(7f);
        float[] x = {7, -7, above, -above, 0.5f, -1.25f};
        float[] r = {1, 2, 4, 8, 16, 32};
        Result result = run(new Transform.Identity(), r, x, 2, 3, 1, 0);
        assertArrayEquals(new float[] {1, 2, 0, 0, 16, 32}, result.gradient());
        // deltas 0, 0, 7, -7, rint(0.5) - 0.5 = -0.5, 0.25: the ties of rounding are even
        float sum = 7 * 4 - 7 * 8 - 0.5f * 16 + 0.25f * 32;
        assertEquals(sum * (float) (1 / Math.sqrt(42)), result.stepGradient());
    }

    @Test
    void gradientsOfMicroBatchesAddUp() {
        float[] x = Data.normal(1, 64);
        float[] r = Data.normal(2, 64);
        float one = run(new Transform.Identity(), r, x, 2, 32, 0.6f, 0).stepGradient();
        try (Session session = new Session()) {
            DeviceState state = state(session, 0.6f, 3, 0);
            for (int pass = 0; pass < 2; pass++) {
                session.backend
                        .quantization()
                        .straightThrough(
                                session.scope,
                                clip(new Transform.Identity()),
                                session.tensor(r.clone(), 2, 32),
                                session.tensor(x, 2, 32),
                                state);
            }
            assertEquals(3 + one + one, value(state, "stepGradient"));
            assertEquals(0.6f, value(state, "step"));
        }
    }

    @Test
    void gradientThatIsNotFiniteStaysSo() {
        for (float bad : new float[] {Float.NaN, Float.POSITIVE_INFINITY}) {
            Result result = run(new Transform.Identity(), new float[] {1, bad}, new float[] {1, 2}, 1, 2, 0.6f, 0);
            assertEquals(bad, result.gradient()[1]);
            assertTrue(!Float.isFinite(result.stepGradient()));
        }
        Result result = run(new Transform.Identity(), new float[] {1, 1}, new float[] {1, Float.NaN}, 1, 2, 0.6f, 0);
        assertTrue(Float.isNaN(result.stepGradient()));
    }

    @Test
    void gradientOfAnotherShapeIsRefused() {
        IllegalArgumentException refused = assertThrows(IllegalArgumentException.class, () -> {
            try (Session session = new Session()) {
                session.backend
                        .quantization()
                        .straightThrough(
                                session.scope,
                                clip(new Transform.Identity()),
                                session.tensor(new float[6], 3, 2),
                                session.tensor(new float[6], 2, 3),
                                state(session, 1, 0, 0));
            }
        });
        assertEquals("gradient is [3, 2], but must be [2, 3]", refused.getMessage());
    }

    @Test
    void gainIsOneOverTheRootOfSevenTimesTheElements() {
        assertEquals((float) (1 / Math.sqrt(7.0 * 262144)), ReferenceLearnedStep.gain(7, 262144));
        assertEquals((float) (1 / Math.sqrt(7.0 * 3e9)), ReferenceLearnedStep.gain(7, 3_000_000_000L));
    }

    /**
     * Σ [sW·G·Wq] o delta = (&lt;G, Y&gt; - &lt;dX, X&gt;) / sX, with Y the quantized output and dX the masked, transformed
     * gradient: it sees the scale of the product, the mask and both transforms at once.
     */
    @ParameterizedTest
    @CsvSource({"8, 32, 5, 5", "16, 64, 9, 4", "3, 13, 4, 0"})
    void gradientOfTheStepOfXIsTheRestOfTwoInnerProducts(int tokens, int in, int out, int log2) {
        float[] x = Data.withOutliers(in, tokens * in, 30);
        float[] w = Data.normal(in + 1, out * in);
        float[] g = Data.normal(in + 2, tokens * out); // [tokens, out]
        try (Session session = new Session()) {
            DeviceState state = session.state(
                    StateVector.scalar("hadamard", log2),
                    StateVector.scalar("step", 0.4f),
                    StateVector.scalar("stepGradient", 0));
            PlaneSpec given = PlaneSpec.value(
                    DType.INT4,
                    new Granularity.PerTensor(),
                    new ScaleRule.Given("step", ScaleRule.Application.SCALE, new ScaleRule.MeanMagnitude()),
                    Rounding.NEAREST_EVEN);
            float[] xq = dequantized(session, Role.INPUT, given, x, tokens, in, state); // [tokens, in]
            float[] wq = dequantized(session, Role.WEIGHT, given, w, out, in, state); // [out, in]
            double[] r = new double[tokens * in]; // G · Wq, [tokens, in]
            double gy = 0;
            double scaleOfTerms = 0;
            for (int t = 0; t < tokens; t++) {
                for (int o = 0; o < out; o++) {
                    for (int k = 0; k < in; k++) {
                        r[t * in + k] += (double) g[t * out + o] * wq[o * in + k];
                        double term = (double) g[t * out + o] * xq[t * in + k] * wq[o * in + k];
                        gy += term;
                        scaleOfTerms += Math.abs(term);
                    }
                }
            }
            float[] product = new float[r.length]; // [tokens, in]
            for (int i = 0; i < r.length; i++) {
                product[i] = (float) r[i];
            }
            Tensor gradient = session.tensor(product, tokens, in);
            session.backend
                    .quantization()
                    .straightThrough(session.scope, clip(HADAMARD), gradient, session.tensor(x, tokens, in), state);
            double dxx = 0;
            for (int i = 0; i < x.length; i++) {
                dxx += (double) HostTensor.floats(gradient)[i] * x[i];
                scaleOfTerms += Math.abs((double) HostTensor.floats(gradient)[i] * x[i]);
            }
            double gain = 1 / Math.sqrt(7.0 * tokens * in);
            double expected = gain * (gy - dxx) / 0.4f;
            assertEquals(expected, value(state, "stepGradient"), 1e-5 * gain * scaleOfTerms / 0.4);
            assertTrue(Math.abs(expected) > 100 * 1e-5 * gain * scaleOfTerms / 0.4, "the check can fail");
        }
    }

    private static float[] dequantized(
            Session session, Role role, PlaneSpec plane, float[] x, int rows, int cols, DeviceState state) {
        QuantizeSpec spec = QuantizeSpec.both(role, List.of(plane)).with(HADAMARD);
        try (Quantized quantized = session.backend
                .quantization()
                .quantize(session.scope, spec, Session.SITE, session.tensor(x, rows, cols), state)) {
            Tensor values =
                    session.backend.quantization().dequantize(session.scope, quantized.operand(Contraction.COLUMNS));
            return HostTensor.floats(values).clone();
        }
    }

    @Test
    void firstStepOfGaussianDataIsSixTenthsOfTheDeviation() {
        int count = 1 << 16;
        float[] x = Differences.normal(new SplittableRandom(3), count, 2.5);
        try (Session session = new Session()) {
            var quantized = session.quantize(QuantizeSpec.both(Role.INPUT, List.of(FIRST)), x, 256, 256);
            float step = Session.statistic(quantized, Statistic.SCALE);
            double expected = 2.5 * 2 * Math.sqrt(2 / Math.PI) / Math.sqrt(7); // 0.603 deviations
            double standardError = 2.5 * 2 / Math.sqrt(7) * Math.sqrt((1 - 2 / Math.PI) / count);
            assertEquals(expected, step, 5 * standardError);
            assertEquals(0.603 * 2.5, expected, 0.001);
        }
    }

    @Test
    void firstStepIsThatOfTheTransformedTensor() {
        float[] x = new float[4 * 32]; // [4, 32]
        for (int row = 0; row < 4; row++) {
            x[row * 32 + row] = 32; // spread over the run, 32 / sqrt(32) each
        }
        try (Session session = new Session()) {
            QuantizeSpec spec = QuantizeSpec.both(Role.INPUT, List.of(FIRST)).with(HADAMARD);
            var quantized = session.quantize(spec, x, 4, 32, StateVector.scalar("hadamard", 5));
            double expected = 2 * Math.sqrt(32) / Math.sqrt(7) + 1e-10;
            // a mean of equal numbers: 2 roundings of the transform, 8 of the sum, 4 of the rule
            assertEquals(expected, Session.statistic(quantized, Statistic.SCALE), expected * 14 * U);
        }
    }

    @Test
    void productWithTinyStepsApproachesTheExactOne() {
        // INT8 codes are the widest there are: steps of 1/127 of the range give an error of half a step each side.
        int cols = 64;
        float[] x = Data.normal(1, 5 * cols);
        float[] w = Data.normal(2, 7 * cols);
        PlaneSpec int8 = PlaneSpec.value(
                DType.INT8, new Granularity.PerTensor(), new ScaleRule.AmaxOverTop(), Rounding.NEAREST_EVEN);
        try (Session session = new Session()) {
            StateVector log2 = StateVector.scalar("hadamard", 5);
            var a = session.quantize(
                    QuantizeSpec.both(Role.INPUT, List.of(int8)).with(HADAMARD), x, 5, cols, log2);
            var b = session.quantize(
                    QuantizeSpec.both(Role.WEIGHT, List.of(int8)).with(HADAMARD), w, 7, cols, log2);
            var left = Session.operand(a, Contraction.COLUMNS);
            var right = Session.operand(b, Contraction.COLUMNS);
            float[] y = session.multiply(GemmSpec.of(Product.OUTPUT, Epilogue.STORE), left, right); // [5, 7]
            double halfA = Session.scales(left, 0)[0] / 2;
            double halfB = Session.scales(right, 0)[0] / 2;
            for (int i = 0; i < y.length; i++) {
                double exact = 0;
                double lengthX = 0;
                double lengthW = 0;
                for (int k = 0; k < cols; k++) {
                    double p = x[i / 7 * cols + k];
                    double q = w[i % 7 * cols + k];
                    exact += p * q;
                    lengthX += p * p;
                    lengthW += q * q;
                }
                // |<a, b> - <a', b'>| by Cauchy and Schwarz, each side off by half a step an element; 1 % for FP32
                double root = Math.sqrt(cols);
                double bound = 1.01
                        * (halfA * root * Math.sqrt(lengthW)
                                + halfB * root * Math.sqrt(lengthX)
                                + halfA * halfB * cols);
                assertEquals(exact, y[i], bound);
            }
        }
    }
}
