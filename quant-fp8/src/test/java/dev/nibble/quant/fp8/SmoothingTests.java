package dev.nibble.quant.fp8;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.gemm.Product;
import dev.nibble.host.HostQuantized;
import dev.nibble.quant.Contraction;
import dev.nibble.quant.Statistic;
import dev.nibble.tensor.Role;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class SmoothingTests {
    private static final int TOKENS = 64;
    private static final int IN = 129;
    private static final int OUT = 13;
    private static final int OUTLIER = 7;

    private static final Map<String, String> CHANNEL = Map.of("smooth", "channel");
    private static final Map<String, String> TOKEN = Map.of("smooth", "token");

    /** {@return nearly normal values, one column of them multiplied, [TOKENS, IN]} */
    private static float[] withOutlierChannel(float gain) {
        float[] x = Golden.generate(1, TOKENS * IN); // [TOKENS, IN]
        for (int token = 0; token < TOKENS; token++) {
            x[token * IN + OUTLIER] *= gain;
        }
        return x;
    }

    private static float[] withOutlierToken(float gain) {
        float[] x = Golden.generate(1, TOKENS * IN); // [TOKENS, IN]
        for (int i = 0; i < IN; i++) {
            x[OUTLIER * IN + i] *= gain;
        }
        return x;
    }

    /** {@return X · Wᵀ, each element one chain of fused multiply-adds, [TOKENS, OUT]} */
    private static float[] product(float[] x, float[] w) {
        float[] y = new float[TOKENS * OUT]; // [TOKENS, OUT]
        for (int i = 0; i < y.length; i++) {
            for (int k = 0; k < IN; k++) {
                y[i] = Math.fma(x[i / OUT * IN + k], w[i % OUT * IN + k], y[i]);
            }
        }
        return y;
    }

    /** {@return mean |value - x| / |x| outside the outlier's column} */
    private static double meanRelativeOfOthers(float[] x, float[] values) {
        float[] others = x.clone(); // [TOKENS, IN]
        for (int token = 0; token < TOKENS; token++) {
            others[token * IN + OUTLIER] = 0; // left out of the mean
        }
        return Golden.meanRelative(others, values);
    }

    @Test
    void factorsArePowersOfTwoThatBringColumnsBelowOne() {
        float[] x = withOutlierChannel(1e6f);
        try (Step step = new Step(CHANNEL, IN)) {
            step.measure(x, TOKENS, IN);
            float[] d = step.state("smoothing"); // [IN]
            float[] smooth = step.transform(Role.INPUT, x, TOKENS, IN);
            for (int k = 0; k < IN; k++) {
                assertEquals(Math.scalb(1f, Math.getExponent(d[k])), d[k]);
                float largest = 0;
                for (int token = 0; token < TOKENS; token++) {
                    largest = Math.max(largest, Math.abs(smooth[token * IN + k]));
                }
                assertTrue(largest > 0.5 && largest <= 1, "column " + k + ": " + largest);
            }
        }
    }

    /** Powers of two cancel in every single product, so that nothing but the codes rounds. */
    @ParameterizedTest
    @ValueSource(floats = {1, 1e3f, 1e6f, 1e-6f})
    void channelFactorsCancelToTheLastBitWithoutRounding(float gain) {
        float[] x = withOutlierChannel(gain);
        float[] w = Golden.generate(2, OUT * IN); // [OUT, IN]
        try (Step step = new Step(CHANNEL, IN)) {
            step.measure(x, TOKENS, IN);
            float[] smooth = step.transform(Role.INPUT, x, TOKENS, IN);
            float[] folded = step.transform(Role.WEIGHT, w, OUT, IN);
            assertArrayEquals(product(x, w), product(smooth, folded));
        }
    }

    /** The released code divides the linear branch by its maximum over the token, and multiplies the output by it. */
    @Test
    void tokenFactorsCancelWithoutRounding() {
        float[] gate = Golden.generate(3, TOKENS * IN); // [TOKENS, IN]
        float[] up = withOutlierToken(1e3f);
        float[] w = Golden.generate(2, OUT * IN); // [OUT, IN]
        float[] x = new float[TOKENS * IN]; // [TOKENS, IN]
        float[] smooth = new float[TOKENS * IN]; // [TOKENS, IN]
        float[] s = new float[TOKENS]; // [TOKENS]
        for (int i = 0; i < x.length; i++) {
            s[i / IN] = Math.max(s[i / IN], Math.abs(up[i]));
        }
        for (int i = 0; i < x.length; i++) {
            float silu = (float) (gate[i] / (1 + Math.exp(-gate[i])));
            x[i] = silu * up[i];
            smooth[i] = silu * (up[i] / s[i / IN]);
        }
        float[] y = product(x, w);
        float[] ofSmooth = product(smooth, w);
        for (int i = 0; i < y.length; i++) {
            double magnitude = 0;
            for (int k = 0; k < IN; k++) {
                magnitude += Math.abs((double) x[i / OUT * IN + k] * w[i % OUT * IN + k]);
            }
            // two more roundings of each element, one of the output, and 129 of each chain, of 2^-24 each, at most
            assertEquals(y[i], ofSmooth[i] * s[i / OUT], (2 + 1 + 2 * IN) * 0x1p-24 * magnitude);
            assertEquals(y[i], ofSmooth[i] * s[i / OUT], 1e-6 * magnitude, "what a chain really costs");
        }
    }

    @Test
    void channelSmoothingKeepsTheOthersWhereOneScaleLosesThem() {
        float[] x = withOutlierChannel(1e6f);
        int others = TOKENS * (IN - 1);
        try (Step plain = new Step(Map.of(), IN);
                Step step = new Step(CHANNEL, IN)) {
            float[] values = plain.roundTrip(Role.INPUT, x, TOKENS, IN);
            assertEquals(others, Golden.zeros(x, values), "amax at 448 puts what is below 7 under 2^-10");
            step.measure(x, TOKENS, IN);
            float[] codes = step.roundTrip(Role.INPUT, x, TOKENS, IN); // of the smoothed matrix
            float[] d = step.state("smoothing"); // [IN]
            for (int i = 0; i < codes.length; i++) {
                codes[i] /= d[i % IN];
            }
            double error = meanRelativeOfOthers(x, codes);
            assertTrue(error > 0.02 && error < 0.03, "mean relative error " + error);
            float[] mild = withOutlierChannel(1e3f);
            int lost = Golden.zeros(mild, plain.roundTrip(Role.INPUT, mild, TOKENS, IN));
            // below 7.5 · 2^-10: 0.6 % of normal values, standard error 0.09 % over 8192 of them
            assertEquals(0.006, (double) lost / others, 5 * 0.0009, "a thousand is not enough to lose them");
        }
    }

    @Test
    void tokenSmoothingKeepsTheOthersWhereOneScaleLosesThem() {
        float[] x = withOutlierToken(1e6f);
        float[] w = Golden.generate(2, OUT * IN); // [OUT, IN]
        float[] exact = product(x, w);
        double[] errors = new double[2]; // [plain, smooth]
        for (int i = 0; i < 2; i++) {
            try (Step step = new Step(i == 0 ? Map.of() : TOKEN, IN)) {
                HostQuantized input = step.quantize(Role.INPUT, x, TOKENS, IN);
                float[] values = step.dequantize(input.operand(Contraction.COLUMNS));
                assertEquals(i == 0 ? (TOKENS - 1) * IN : 0, Golden.zeros(x, values));
                if (i == 1) {
                    double error = Golden.meanRelative(x, values);
                    assertTrue(error > 0.02 && error < 0.03, "mean relative error " + error);
                }
                float[] y = step.multiply(Product.OUTPUT, input, step.quantize(Role.WEIGHT, w, OUT, IN));
                for (int at = 0; at < y.length; at++) {
                    if (at / OUT != OUTLIER) {
                        errors[i] += Math.pow((double) y[at] - exact[at], 2);
                    }
                }
            }
        }
        double norm = 0;
        for (int at = 0; at < exact.length; at++) {
            norm += at / OUT == OUTLIER ? 0 : Math.pow(exact[at], 2);
        }
        assertEquals(1, Math.sqrt(errors[0] / norm), 1e-6, "the output of all other tokens is 0");
        // each operand has noise of about 2.7 %, the product 3.7 %
        assertEquals(0.037, Math.sqrt(errors[1] / norm), 0.01);
    }

    @ParameterizedTest
    @CsvSource({"none, 1", "channel, 0"})
    void staleScaleSaturatesUnlessTheChannelIsSmoothed(String smooth, int plain) {
        float[] w = Golden.generate(2, OUT * IN); // [OUT, IN]
        float[] dy = Golden.generate(5, TOKENS * OUT); // [TOKENS, OUT]
        try (Step step = new Step(Map.of("scaling", "delayed", "smooth", smooth), IN)) {
            for (int i = 0; i < 3; i++) {
                step.begin(i);
                float[] x = withOutlierChannel(1);
                step.measure(x, TOKENS, IN);
                step.gather(
                        step.quantize(Role.INPUT, x, TOKENS, IN),
                        step.quantize(Role.WEIGHT, w, OUT, IN),
                        step.quantize(Role.GRAD_OUTPUT, dy, TOKENS, OUT));
                step.afterOptimizer(false);
            }
            step.begin(3);
            float[] x = withOutlierChannel(100);
            step.measure(x, TOKENS, IN);
            HostQuantized input = step.quantize(Role.INPUT, x, TOKENS, IN);
            float saturated = Step.statistic(input, Statistic.SATURATED);
            if (plain == 1) {
                // of 64 elements of the column those beyond 3.4 / 100 of a normal deviation: nearly all
                assertTrue(saturated > 0.9f / IN && saturated <= 1f / IN, "saturated " + saturated);
            } else {
                assertEquals(0, saturated);
            }
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"channel", "token"})
    void zeroRowsAndColumnsGiveZeros(String smooth) {
        float[] x = withOutlierChannel(1e6f);
        for (int i = 0; i < x.length; i++) {
            x[i] = i / IN == 3 || i % IN == 5 ? 0 : x[i];
        }
        float[] w = Golden.generate(2, OUT * IN); // [OUT, IN]
        try (Step step = new Step(Map.of("smooth", smooth), IN)) {
            step.measure(x, TOKENS, IN);
            HostQuantized input = step.quantize(Role.INPUT, x, TOKENS, IN);
            float[] values = step.dequantize(input.operand(Contraction.COLUMNS));
            for (int i = 0; i < x.length; i++) {
                assertTrue(Float.isFinite(values[i]));
                assertTrue(x[i] != 0 || values[i] == 0);
            }
            float[] y = step.multiply(Product.OUTPUT, input, step.quantize(Role.WEIGHT, w, OUT, IN));
            for (int i = 0; i < y.length; i++) {
                assertTrue(i / OUT == 3 ? y[i] == 0 : Float.isFinite(y[i]) && y[i] != 0);
            }
        }
    }

    @Test
    void columnsWithoutAUsableMaximumKeepTheirFactor() {
        float[] good = {4, 4, 4, 4, 4, 4, 3}; // [1, 7]
        float[] bad = {0, Float.NaN, Float.POSITIVE_INFINITY, 0x1p-60f, 0x1p60f, Float.MIN_VALUE, -20};
        try (Step step = new Step(CHANNEL, 7)) {
            step.measure(bad, 1, 7);
            assertArrayEquals(new float[] {1, 1, 1, 1, 1, 1, 0x1p-5f}, step.state("smoothing"));
            step.measure(good, 1, 7);
            assertArrayEquals(new float[] {0.25f, 0.25f, 0.25f, 0.25f, 0.25f, 0.25f, 0.25f}, step.state("smoothing"));
            step.measure(bad, 1, 7);
            assertArrayEquals(new float[] {0.25f, 0.25f, 0.25f, 0.25f, 0.25f, 0.25f, 0x1p-5f}, step.state("smoothing"));
        }
    }

    /** Once the gate's weight has become that of the linear branch, the layer's output is quadratic in x. */
    @Test
    void alignedWeightsMakeASwiGluQuadratic() {
        float[] w = Golden.generate(6, 16); // [16]
        float[] x = new float[16]; // [16], along w, so that z is large
        for (int i = 0; i < 16; i++) {
            x[i] = w[i] / 4;
        }
        double once = swiGlu(x, w, w, 1);
        double tenTimes = swiGlu(x, w, w, 10);
        double z = 0;
        for (int i = 0; i < 16; i++) {
            z += (double) x[i] * w[i];
        }
        assertEquals(100 * (1 + Math.exp(-z)) / (1 + Math.exp(-10 * z)), tenTimes / once, 1e-9);
        assertEquals(100, tenTimes / once, 5);
        // with the linear branch at right angles to x there is nothing to grow
        float[] turned = new float[16]; // [16]
        for (int i = 0; i < 16; i += 2) {
            turned[i] = w[i + 1];
            turned[i + 1] = -w[i];
        }
        assertEquals(0, swiGlu(x, turned, w, 10), 1e-5);
    }

    private static double swiGlu(float[] x, float[] linear, float[] gate, double factor) {
        double a = 0;
        double z = 0;
        for (int i = 0; i < x.length; i++) {
            a += factor * x[i] * linear[i];
            z += factor * x[i] * gate[i];
        }
        return a * z / (1 + Math.exp(-z));
    }
}
