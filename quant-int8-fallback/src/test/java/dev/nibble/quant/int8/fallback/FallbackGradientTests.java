package dev.nibble.quant.int8.fallback;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Product;
import dev.nibble.host.HostOperand;
import dev.nibble.host.HostQuantized;
import dev.nibble.host.HostTensor;
import dev.nibble.quant.Contraction;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.tensor.Role;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

class FallbackGradientTests {
    private static final int DRAWS = 400;
    private static final int BLOCK = 32;
    private static final int TOKENS = 96; // with IN: six blocks, of which the first step's quantile lets one fall back
    private static final int IN = 48;
    private static final int OUT = 80;
    private static final String BLOCK_TEXT = String.valueOf(BLOCK);

    private final Matrix x;
    private final Matrix w;
    private final Matrix dy;

    FallbackGradientTests() {
        SplittableRandom random = new SplittableRandom(11);
        x = Matrix.normal(random, TOKENS, IN, 1).map((row, col, v) -> row == 7 && col == 3 ? 300 : v);
        w = Matrix.normal(random, OUT, IN, 0.02f);
        dy = Matrix.normal(random, TOKENS, OUT, 1e-3f);
    }

    private static LinearQuantizer fallback(boolean modeB) {
        return Step.quantizer(
                "int8-fallback", Map.of("block", BLOCK_TEXT, "residualInGradWeight", String.valueOf(modeB)));
    }

    /** Sums over the draws of a product: element by element of [rows, cols]. */
    private static final class Moments {
        final int rows;
        final int cols;
        final double[] sum; // [rows, cols]
        final double[] squares; // [rows, cols], of the distance from the expected value

        Moments(int rows, int cols) {
            this.rows = rows;
            this.cols = cols;
            sum = new double[rows * cols];
            squares = new double[rows * cols];
        }

        void add(Matrix draw, double[] expected) {
            assertArrayEquals(new int[] {rows, cols}, new int[] {draw.rows(), draw.cols()});
            for (int i = 0; i < sum.length; i++) {
                double distance = draw.values()[i] - expected[i];
                sum[i] += distance;
                squares[i] += distance * distance;
            }
        }

        /** {@return the largest distance of a mean from its expected value, in standard errors} */
        double largestZ(double[] variance) {
            double largest = 0;
            for (int i = 0; i < sum.length; i++) {
                largest = Math.max(largest, Math.abs(sum[i] / DRAWS) / Math.sqrt(variance[i] / DRAWS));
            }
            return largest;
        }

        /** Checks the measured variance, relative to the formula, against 1. Rows are independent, their elements not. */
        void assertVariance(double[] variance) {
            double mean = 0;
            double square = 0;
            for (int row = 0; row < rows; row++) {
                double ratio = 0;
                for (int col = 0; col < cols; col++) {
                    int i = row * cols + col;
                    ratio += squares[i] / DRAWS / variance[i] / cols;
                }
                mean += ratio / rows;
                square += ratio * ratio / rows;
            }
            double standardError = Math.sqrt((square - mean * mean) / (rows - 1));
            assertTrue(standardError < 0.01, "standard error " + standardError);
            assertEquals(1, mean, 5 * standardError);
        }
    }

    /** {@return s² p (1 - p) of each element of dY, with s its block's amax / 127 and p the fraction of dY / s} */
    private static Matrix roundingVariance(Matrix dy) {
        float[] amaxes = new float[(dy.rows() / BLOCK + 1) * (dy.cols() / BLOCK + 1)]; // [row blocks, col blocks]
        int width = dy.cols() / BLOCK + 1;
        dy.map((row, col, v) -> {
            int block = row / BLOCK * width + col / BLOCK;
            amaxes[block] = Math.max(amaxes[block], Math.abs(v));
            return v;
        });
        return dy.map((row, col, v) -> {
            double s = amaxes[row / BLOCK * width + col / BLOCK] / 127.0;
            double p = v / s - Math.floor(v / s);
            return (float) (s * s * p * (1 - p));
        });
    }

    private static Matrix square(Matrix matrix) {
        return matrix.map((_, _, v) -> v * v);
    }

    private Matrix weight(LinearQuantizer quantizer) {
        try (Step step = new Step(quantizer, 0, true)) {
            return step.dequantize(step.quantize(step.plan().weight(), w).operand(Contraction.ROWS));
        }
    }

    private static HostQuantized gradOutput(Step step, Matrix dy, Rounding rounding) {
        QuantizeSpec planned = step.plan().gradOutput();
        PlaneSpec plane = planned.operands().getFirst().planes().getFirst();
        PlaneSpec changed = PlaneSpec.value(plane.format(), plane.granularity(), plane.scaleRule(), rounding);
        return step.quantize(QuantizeSpec.both(Role.GRAD_OUTPUT, List.of(changed)), dy);
    }

    /** {@return gradInput over the draws: draw i is that of step i} */
    private Moments gradInput(Matrix gradient, Rounding rounding, double[] expected) {
        LinearQuantizer quantizer = fallback(false);
        Moments moments = new Moments(TOKENS, IN);
        for (int draw = 0; draw < DRAWS; draw++) {
            try (Step step = new Step(quantizer, draw, true)) {
                GemmSpec spec = step.plan().gemm(Product.GRAD_INPUT);
                HostQuantized a = gradOutput(step, gradient, rounding);
                HostQuantized b = step.quantize(step.plan().weight(), w);
                moments.add(step.multiply(spec, a.operand(Contraction.COLUMNS), b.operand(Contraction.ROWS)), expected);
            }
        }
        return moments;
    }

    @Test
    void gradInputIsUnbiasedAndHasTheVarianceOfStochasticRounding() {
        // E[dX] = dY · W^, Var[dX_mk] = sum_n s² p (1 - p) W^_nk². FP32 moves dX by some 2^-24, a standard error is
        // 2^-10 or more.
        Matrix weight = weight(fallback(false)); // [in, out]
        double[] expected = dy.timesTransposed(weight); // [tokens, in]
        double[] variance = roundingVariance(dy).timesTransposed(square(weight)); // [tokens, in]
        Moments moments = gradInput(dy, Rounding.STOCHASTIC, expected);
        double z = moments.largestZ(variance);
        assertTrue(z < 5, "largest z " + z);
        moments.assertVariance(variance);
    }

    /** A gradient that lies a quarter above a code everywhere, but for the amax of each block. */
    private Matrix quarterAboveCodes() {
        return dy.map((row, col, v) -> {
            boolean amax = row % BLOCK == 0 && col % BLOCK == 0;
            return amax ? 127 * 0x1p-10f : ((int) (v * 10000) + 0.25f) * 0x1p-10f;
        });
    }

    @Test
    void roundingToNearestWouldBias() {
        Matrix gradient = quarterAboveCodes();
        Matrix weight = weight(fallback(false)); // [in, out]
        double[] expected = gradient.timesTransposed(weight); // [tokens, in]
        double[] variance = roundingVariance(gradient).timesTransposed(square(weight)); // [tokens, in]
        double stochastic = gradInput(gradient, Rounding.STOCHASTIC, expected).largestZ(variance);
        assertTrue(stochastic < 5, "stochastic: largest z " + stochastic);
        double nearest = gradInput(gradient, Rounding.NEAREST_EVEN, expected).largestZ(variance);
        assertTrue(nearest > 5, "nearest: largest z " + nearest);
    }

    private Moments gradWeight(boolean modeB, double[] expected) {
        LinearQuantizer quantizer = fallback(modeB);
        Moments moments = new Moments(OUT, IN);
        for (int draw = 0; draw < DRAWS; draw++) {
            try (Step step = new Step(quantizer, draw, true)) {
                moments.add(step.product(Product.GRAD_WEIGHT, x, w, dy), expected);
            }
        }
        return moments;
    }

    @Test
    void gradWeightOfModeBIsThatOfTheForwardPassAndOfModeAIsNot() {
        // E[dW] = dYᵀ · X^ is the straight-through gradient if X^ is the one of the forward pass: the sum of both
        // planes.
        Matrix forward;
        try (Step step = new Step(fallback(true), 0, true)) {
            forward = step.input(x, Contraction.COLUMNS).transposed(); // [in, tokens]
            assertArrayEquals(forward.values(), step.input(x, Contraction.ROWS).values());
        }
        double[] expected = dy.transposed().timesTransposed(forward); // [out, in]
        double[] variance = roundingVariance(dy).transposed().timesTransposed(square(forward)); // [out, in]
        Moments modeB = gradWeight(true, expected);
        double z = modeB.largestZ(variance);
        assertTrue(z < 5, "mode B: largest z " + z);
        modeB.assertVariance(variance);
        double biased = gradWeight(false, expected).largestZ(variance);
        assertTrue(biased > 5, "mode A: largest z " + biased);
    }

    @Test
    void modesDifferByAtMostHalfAScaleForEachGradient() {
        try (Step a = new Step(fallback(false), 1, true);
                Step b = new Step(fallback(true), 1, true)) {
            Matrix modeA = a.product(Product.GRAD_WEIGHT, x, w, dy); // [out, in]
            Matrix modeB = b.product(Product.GRAD_WEIGHT, x, w, dy); // [out, in]
            Matrix gradient =
                    a.dequantize(a.quantize(a.plan().gradOutput(), dy).operand(Contraction.ROWS)); // [out, tokens]
            HostOperand input = HostOperand.of(b.quantize(b.plan().input(), x).operand(Contraction.ROWS));
            Matrix magnitudes = b.dequantize(input).map((_, _, v) -> Math.abs(v)); // [in, tokens]
            Matrix halves = halfScales(input); // [in, tokens]
            Matrix absolute = gradient.map((_, _, v) -> Math.abs(v));
            double[] bound = absolute.timesTransposed(halves); // [out, in]
            // Either sum has at most two roundings for each of its 2 · 2 terms and one of each product of scales,
            // each at most 2^-24 of sum |dY| |X|; |q1 s1| and |q2 s2| are together less than 2 |X^| + s1.
            double[] sums = absolute.timesTransposed(magnitudes); // [out, in]
            double largest = 0;
            for (int i = 0; i < bound.length; i++) {
                double slack = 2 * 12 * 0x1p-24 * (2 * sums[i] + 2 * bound[i]);
                double difference = Math.abs(modeA.values()[i] - modeB.values()[i]);
                assertTrue(difference <= bound[i] + slack, "element " + i + ": " + difference + " > " + bound[i]);
                largest = Math.max(largest, bound[i] == 0 ? 0 : difference / bound[i]);
            }
            assertTrue(largest > 0.1, "the modes differ, by up to " + largest + " of the bound");
        }
    }

    /** {@return s1 / 2 where the block has a residual, else 0, [rows, k] of the operand} */
    private static Matrix halfScales(HostOperand operand) {
        float[] scales = HostTensor.floats(operand.planes().get(0).scales()); // [kGroups, rowGroups]
        byte[] mask = operand.planes().get(1).mask().bytes(); // [kGroups, rowGroups]
        int rowGroups = Math.ceilDiv((int) operand.rows(), BLOCK);
        return new Matrix(new float[(int) (operand.rows() * operand.k())], (int) operand.rows(), (int) operand.k())
                .map((row, k, _) -> {
                    int group = k / BLOCK * rowGroups + row / BLOCK;
                    return mask[group] * scales[group] / 2;
                });
    }
}
