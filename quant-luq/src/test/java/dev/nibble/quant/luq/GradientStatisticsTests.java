package dev.nibble.quant.luq;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.host.HostQuantized;
import dev.nibble.quant.Contraction;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class GradientStatisticsTests {
    private static final int DRAWS = 20_000;

    /** Values of t, with the largest of the format last; what falls between powers and on them, and below 1. */
    private static final double[] POINTS = {
        1e-3, 0.1, 0.25, 0.5, 0.9, 1, 1.1, 4 / 3.0, 1.5, 1.9, 2, 2.7, 3, 5, 12, 33, 48, 63.9, 64
    };

    /** {@return every point in every row, [DRAWS, points], alternately positive and negative from row to row} */
    private static float[] rows(double[] points) {
        float[] x = new float[DRAWS * points.length]; // [DRAWS, points]
        for (int i = 0; i < x.length; i++) {
            double sign = i / points.length % 2 == 0 ? 1 : -1;
            x[i] = (float) (sign * points[i % points.length]);
        }
        return x;
    }

    /** {@return the mean over the rows of f(|code|, its value before rounding), for each point} */
    private static double[] means(int[] codes, float[] x, Moment moment) {
        int points = x.length / DRAWS;
        double[] means = new double[points]; // [points]
        for (int i = 0; i < x.length; i++) {
            means[i % points] += moment.of(Math.abs(codes[i]), Math.abs(x[i])) / DRAWS;
        }
        return means;
    }

    /** What is averaged. */
    @FunctionalInterface
    private interface Moment {
        double of(double code, double t);
    }

    @Test
    void meanAndVarianceAreThoseOfTheLaw() {
        float[] x = rows(POINTS);
        try (Layer layer = new Layer(Map.of())) {
            HostQuantized quantized = layer.gradient(x, DRAWS, POINTS.length);
            assertEquals(1, Layer.scale(quantized));
            int[] codes = Layer.codes(quantized);
            double[] means = means(codes, x, (code, _) -> code); // [points]
            double[] squares = means(codes, x, (code, t) -> (code - t) * (code - t)); // [points]
            for (int i = 0; i < POINTS.length; i++) {
                double t = (float) POINTS[i];
                double variance = Samples.variance(t);
                assertEquals(t, means[i], 5 * Math.sqrt(variance / DRAWS) + 0x1p-24, "mean at " + t);
                // (Q - t)² / gap² is (1-p)² with probability p, else p²: its variance is p(1-p)(1-2p)².
                double gap = t < 1 ? 1 : Math.scalb(1.0, Math.getExponent(t));
                double p = variance == 0 ? 0 : (t < 1 ? t : t / gap - 1);
                double standardError = gap * gap * Math.sqrt(p * (1 - p) * (1 - 2 * p) * (1 - 2 * p) / DRAWS);
                assertEquals(variance, squares[i], 5 * standardError + 1e-9, "variance at " + t);
                assertTrue(t < 1 || variance <= t * t / 8, "at most an eighth, at t = 4/3");
            }
        }
    }

    @ParameterizedTest
    @CsvSource({"rdnp, 3", "fp4-flush, 3", "log-sr, 3"})
    void comparisonVariantsAreBiased(String gradQuant, int fewest) {
        float[] x = rows(POINTS);
        try (Layer layer = new Layer(Map.of("gradQuant", gradQuant))) {
            double[] means =
                    means(Layer.codes(layer.gradient(x, DRAWS, POINTS.length)), x, (code, _) -> code); // [points]
            int biased = 0;
            for (int i = 0; i < POINTS.length; i++) {
                double bound = 5 * Math.sqrt(Samples.variance((float) POINTS[i]) / DRAWS) + 0x1p-24;
                biased += Math.abs(means[i] - POINTS[i]) > bound ? 1 : 0;
            }
            assertTrue(biased >= fewest, gradQuant + " fails at " + biased + " points only");
        }
    }

    /** {@return t = 2^(5 + (j + 1/2) / n), evenly spread over the logarithm within one octave, and the largest value} */
    private static float[] logUniformOctave(int n) {
        float[] x = new float[n + 1]; // [n + 1]
        for (int j = 0; j < n; j++) {
            x[j] = (float) (32 * Math.pow(2, (j + 0.5) / n));
        }
        x[n] = 64;
        return x;
    }

    /**
     * Over log-uniform t in an octave [1, 2): E[t] = 1/ln 2, E[t²] = 3/(2 ln 2). LUQ: E[Q] = E[t], E[(t-1)(2-t)] = 3/(2 ln 2) - 2, 0.0758
     * of E[t²]. RDNP: E[Q] = 2 - log2(1.5), 0.9808 of E[t]. Stochastic in the exponent: E[Q] = 3/2, 1.0397 of E[t].
     */
    @ParameterizedTest
    @CsvSource({"luq, 1.0000, 0.0758", "rdnp, 0.9808, 0.0375", "log-sr, 1.0397, 0.0788"})
    void octaveHasTheRatioAndTheErrorOfItsVariant(String gradQuant, double ratio, double error) {
        int n = 1 << 16;
        float[] x = logUniformOctave(n);
        try (Layer layer = new Layer(Map.of("gradQuant", gradQuant))) {
            int[] codes = Layer.codes(layer.gradient(x, 1, n + 1)); // [n + 1]
            double sum = 0;
            double squares = 0;
            for (int j = 0; j < n; j++) {
                sum += codes[j] / 32.0;
                squares += (codes[j] - x[j]) * (double) (codes[j] - x[j]) / 1024;
            }
            // A code's deviation from its mean is at most 1/2 octave, and so is that of its squared error: 5 standard
            // errors, relative to E[t] = 1.44 and E[t²] = 2.16. Half a unit of the last printed place more.
            double slack = 5 * 0.5 / Math.sqrt(n);
            assertEquals(ratio, sum / n * Math.log(2), slack / 1.44 + 5e-5, "E[Q] / E[t]");
            assertEquals(error, squares / n / 1.5 * Math.log(2), slack / 2.16 + 5e-5, "E[(Q-t)²] / E[t²]");
        }
    }

    @ParameterizedTest
    @ValueSource(doubles = {1, 2, 3})
    void errorAndZerosOfATensorAreThoseOfTheLaw(double deviation) {
        int draws = 60;
        float[] x = Samples.logNormal(21, 129 * 127, deviation);
        double scale = Samples.amax(x) / 64;
        double expected = 0; // sum of the variances, in units of scale²
        double spread = 0; // variance of the sum of squared errors
        double zeros = 0;
        double zeroSpread = 0;
        double bound = 0;
        for (float v : x) {
            double t = Math.abs(v) / scale;
            double gap = t < 1 ? 1 : Math.scalb(1.0, Math.getExponent(t));
            double p = t < 1 ? t : t / gap - 1;
            expected += Samples.variance(t);
            spread += Math.pow(gap, 4) * p * (1 - p) * (1 - 2 * p) * (1 - 2 * p);
            zeros += t < 1 ? 1 - t : 0;
            zeroSpread += t < 1 ? t * (1 - t) : 0;
            bound += t * t / 8 + (t < 1 ? t : 0);
        }
        double error = 0; // means over the draws
        double foundZeros = 0;
        try (Layer layer = new Layer(Map.of())) {
            for (int draw = 0; draw < draws; draw++) {
                layer.begin(draw);
                int[] codes = Layer.codes(layer.gradient(x, 129, 127)); // [129, 127]
                for (int i = 0; i < x.length; i++) {
                    error += Math.pow(Math.abs(codes[i]) - Math.abs(x[i]) / scale, 2) / draws;
                    foundZeros += codes[i] == 0 ? 1.0 / draws : 0;
                }
            }
        }
        double standardError = Math.sqrt(spread / draws);
        assertEquals(expected, error, 5 * standardError);
        assertTrue(5 * standardError < 0.25 * expected, "the draws tell a quarter: " + standardError / expected);
        assertEquals(zeros, foundZeros, 5 * Math.sqrt(zeroSpread / draws));
        assertTrue(expected <= bound, "at most |x|²/8 + alpha · sum of |x| below alpha");
    }

    private static double noise(Map<String, String> options, float[] x) {
        try (Layer layer = new Layer(options)) {
            float[] values =
                    layer.dequantize(layer.gradient(x, 128, x.length / 128).operand(Contraction.COLUMNS)); // [x.length]
            double error = 0;
            double norm = 0;
            for (int i = 0; i < x.length; i++) {
                error += ((double) values[i] - x[i]) * ((double) values[i] - x[i]);
                norm += (double) x[i] * x[i];
            }
            return error / norm;
        }
    }

    @ParameterizedTest
    @ValueSource(doubles = {1, 2, 3})
    void moreExponentsLessNoiseAndUniformCodesMost(double deviation) {
        float[] x = Samples.logNormal(23, 1 << 16, deviation);
        double[] noise = List.of("4", "6", "7", "8").stream()
                .mapToDouble(e -> noise(Map.of("exponent", e), x))
                .toArray(); // [4]
        assertTrue(
                noise[0] > noise[1] && noise[1] > noise[2] && noise[2] > noise[3],
                "E = 4, 6, 7, 8: " + Arrays.toString(noise));
        double uniform = noise(Map.of("gradQuant", "int4-sr"), x);
        assertTrue(uniform > 3 * noise[1], "INT4 " + uniform + ", LUQ " + noise[1]);
    }
}
