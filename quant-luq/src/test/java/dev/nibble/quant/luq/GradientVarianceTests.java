package dev.nibble.quant.luq;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.gemm.Product;
import dev.nibble.host.HostQuantized;
import dev.nibble.quant.Contraction;
import dev.nibble.tensor.Role;
import java.util.Map;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * Mean and variance of the gradients of one layer over the draws: {@code E[dW] = dYᵀ·Q(X)}, {@code Var[dW_oi] = Σ Var[L(dY_to)]·Q(X)_ti² / N},
 * and alike for dX with Q(W).
 */
class GradientVarianceTests {
    private static final int DRAWS = 300;
    private static final int TOKENS = 48;
    private static final int IN = 13;
    private static final int OUT = 65;

    private final float[] x = Samples.normal(81, TOKENS * IN, 1); // [tokens, in]
    private final float[] w = Samples.normal(82, OUT * IN, 0.1); // [out, in]
    private final float[] dy = Samples.logNormal(83, TOKENS * OUT, 1); // [tokens, out]

    /** Sums over the draws, element by element of [rows, cols]. */
    private static final class Distances {
        final int cols;
        final double[] sum; // [rows, cols]
        final double[] squares; // [rows, cols]

        Distances(int rows, int cols) {
            this.cols = cols;
            sum = new double[rows * cols];
            squares = new double[rows * cols];
        }

        void add(float[] draw, double[] expected) {
            for (int i = 0; i < sum.length; i++) {
                double distance = draw[i] - expected[i];
                sum[i] += distance;
                squares[i] += distance * distance;
            }
        }

        void assertLaw(double[] variance) {
            int rows = sum.length / cols;
            double mean = 0;
            double square = 0;
            for (int row = 0; row < rows; row++) {
                double ratio = 0; // rows of a product have draws of their own; elements of a row share theirs
                for (int col = 0; col < cols; col++) {
                    int i = row * cols + col;
                    double z = Math.abs(sum[i] / DRAWS) / Math.sqrt(variance[i] / DRAWS);
                    assertTrue(z < 5, "element " + i + " is " + z + " standard errors off");
                    ratio += squares[i] / DRAWS / variance[i] / cols;
                }
                mean += ratio / rows;
                square += ratio * ratio / rows;
            }
            double standardError = Math.sqrt((square - mean * mean) / (rows - 1));
            assertTrue(standardError < 0.01, "standard error of the ratio: " + standardError);
            assertEquals(1, mean, 5 * standardError, "measured variance over that of the law");
        }
    }

    /** {@return the sum over k of a and b, given where an element lies; [m, n]} */
    private static double[] product(
            double[] a, int rowA, int stepA, double[] b, int rowB, int stepB, int m, int n, int k) {
        double[] sums = new double[m * n]; // [m, n]
        for (int i = 0; i < sums.length; i++) {
            for (int at = 0; at < k; at++) {
                sums[i] += a[i / n * rowA + at * stepA] * b[i % n * rowB + at * stepB];
            }
        }
        return sums;
    }

    private static double[] doubles(float[] values, boolean squared) {
        double[] out = new double[values.length]; // as values
        for (int i = 0; i < out.length; i++) {
            out[i] = squared ? (double) values[i] * values[i] : values[i];
        }
        return out;
    }

    /** {@return the variance of one draw of each element, over the number of draws that are averaged} */
    private double[] variances(double scale, int samples) {
        double[] out = new double[dy.length]; // [tokens, out]
        for (int i = 0; i < out.length; i++) {
            out[i] = scale * scale * Samples.variance(Math.abs(dy[i]) / scale) / samples;
        }
        return out;
    }

    @ParameterizedTest
    @CsvSource({"1, 1", "4, 2", "2, 5"})
    void gradientsHaveTheMeanAndTheVarianceOfTheLaw(int forWeight, int forInput) {
        Map<String, String> options =
                Map.of("samplesGradWeight", String.valueOf(forWeight), "samplesGradInput", String.valueOf(forInput));
        try (Layer layer = new Layer(options)) {
            HostQuantized input = layer.quantize(Role.INPUT, x, TOKENS, IN);
            HostQuantized weight = layer.quantize(Role.WEIGHT, w, OUT, IN);
            float[] qx = layer.dequantize(input.operand(Contraction.COLUMNS)); // [tokens, in]
            float[] qw = layer.dequantize(weight.operand(Contraction.COLUMNS)); // [out, in]
            double scale = Samples.amax(dy) / 64;
            double[] dw = product(doubles(dy, false), 1, OUT, doubles(qx, false), 1, IN, OUT, IN, TOKENS);
            double[] dx = product(doubles(dy, false), OUT, 1, doubles(qw, false), 1, IN, TOKENS, IN, OUT);
            Distances weights = new Distances(OUT, IN);
            Distances inputs = new Distances(TOKENS, IN);
            for (int draw = 0; draw < DRAWS; draw++) {
                layer.begin(draw);
                HostQuantized gradient = layer.gradient(dy, TOKENS, OUT);
                HostQuantized again = layer.quantize(Role.INPUT, x, TOKENS, IN);
                HostQuantized weightAgain = layer.quantize(Role.WEIGHT, w, OUT, IN);
                weights.add(layer.multiply(Product.GRAD_WEIGHT, gradient, again), dw);
                inputs.add(layer.multiply(Product.GRAD_INPUT, gradient, weightAgain), dx);
            }
            double[] noiseW = variances(scale, forWeight);
            double[] noiseX = variances(scale, forInput);
            weights.assertLaw(product(noiseW, 1, OUT, doubles(qx, true), 1, IN, OUT, IN, TOKENS));
            inputs.assertLaw(product(noiseX, OUT, 1, doubles(qw, true), 1, IN, TOKENS, IN, OUT));
        }
    }
}
