package dev.nibble.quant.int8.fallback;

import static org.junit.jupiter.api.Assertions.assertAll;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.gemm.Product;
import dev.nibble.host.HostQuantized;
import dev.nibble.quant.Contraction;
import dev.nibble.quant.Statistic;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearQuantizer;
import java.util.Arrays;
import java.util.Map;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What the input of a down projection with occasional outliers loses under each quantizer. */
class FallbackAccuracyTests {
    /**
     * The regression fixture: h = silu(g) · v with log-normal gains of tokens and channels, in which each element gets an
     * outlier of size 1000 with probability 1e-5. Fewer outputs than the original's 512 change the error of no row, only
     * how exactly its norm is known.
     */
    private static final int M = 1024;

    private static final int K = 2048;
    private static final int N = 128;
    private static final double OUTLIERS = 1e-5;

    private static Matrix input(SplittableRandom random) {
        float[] tokens = Matrix.normal(random, 1, M, 0.3f).values(); // [M]
        float[] channels = Matrix.normal(random, 1, K, 0.3f).values(); // [K]
        return new Matrix(new float[M * K], M, K).map((row, col, _) -> {
            double g = random.nextGaussian();
            double h = g / (1 + Math.exp(-g)) * random.nextGaussian();
            double outlier = random.nextDouble() < OUTLIERS ? 1000 * random.nextGaussian() : 0;
            return (float) (h * Math.exp(tokens[row]) * Math.exp(channels[col]) + outlier);
        });
    }

    /** {@return the median over the rows of |error of the row| / |row|} */
    private static double medianRowError(double[] exact, Matrix output) {
        double[] errors = new double[M]; // [M]
        for (int row = 0; row < M; row++) {
            double error = 0;
            double norm = 0;
            for (int col = 0; col < N; col++) {
                double value = exact[row * N + col];
                error += Math.pow(output.at(row, col) - value, 2);
                norm += value * value;
            }
            errors[row] = Math.sqrt(error / norm);
        }
        Arrays.sort(errors);
        return (errors[M / 2 - 1] + errors[M / 2]) / 2;
    }

    private static double medianRowError(String name, Map<String, String> options, Matrix x, Matrix w, double[] exact) {
        try (Step step = new Step(Step.quantizer(name, options), 0, true)) {
            Matrix unused = new Matrix(new float[0], 0, 0);
            return medianRowError(exact, step.product(Product.OUTPUT, x, w, unused));
        }
    }

    private static void assertBetween(double low, double high, double value, String what) {
        // 10 % beyond the range that six other seeds gave
        assertTrue(value >= 0.9 * low && value <= 1.1 * high, what + ": " + value + " not in " + low + ".." + high);
    }

    /** {@return median row error where the blocks above the exact quantile 1 - rate fall back} */
    private static double atRate(double rate, Matrix x, Matrix w, double[] exact) {
        Map<String, String> options = Map.of(
                "threshold", "exact", "rateMin", String.valueOf(rate - 0.05), "rateMax", String.valueOf(rate + 0.05));
        return medianRowError("int8-fallback", options, x, w, exact);
    }

    /** Median row errors of one draw. */
    private record Errors(
            double row,
            double block32,
            double block,
            double five,
            double ten,
            double twenty,
            double thirty,
            double all) {
        static Errors of(long seed) {
            SplittableRandom random = new SplittableRandom(seed);
            Matrix x = input(random);
            Matrix w = Matrix.normal(random, N, K, 0.02f);
            double[] exact = x.timesTransposed(w); // [M, N]
            return new Errors(
                    medianRowError("int8-row", Map.of(), x, w, exact),
                    medianRowError("int8-block", Map.of("block", "32"), x, w, exact),
                    medianRowError("int8-block", Map.of(), x, w, exact),
                    atRate(0.05, x, w, exact),
                    atRate(0.1, x, w, exact),
                    atRate(0.2, x, w, exact),
                    atRate(0.3, x, w, exact),
                    medianRowError("int8-fallback", Map.of("threshold", "all"), x, w, exact));
        }

        void check() {
            assertAll(
                    toString(),
                    () -> assertBetween(0.025, 0.026, row, "one scale a row"),
                    () -> assertBetween(0.033, 0.054, block32, "blocks of 32"),
                    () -> assertBetween(0.25, 0.33, block, "blocks of 128"),
                    () -> assertBetween(0.049, 0.16, ten, "10 % of the blocks fall back"),
                    () -> assertBetween(0.039, 0.043, twenty, "20 % of the blocks fall back"),
                    () -> assertBetween(0.035, 0.038, thirty, "30 % of the blocks fall back"),
                    () -> assertBetween(0.010, 0.011, all, "all blocks fall back"),
                    () -> assertTrue(block > 3 * twenty, "fallback repairs what an outlier does to its block"),
                    () -> assertTrue(block > five && five > ten && ten > twenty, "each block that falls back helps"),
                    () -> assertTrue(all < row && row < thirty, "order of the table"));
        }
    }

    @Test
    void rowErrorsAreThoseOfTheMethodsTable() {
        long[] seeds = {100, 101, 102, 103, 104, 105};
        double five = 0;
        for (long seed : seeds) {
            Errors errors = Errors.of(seed);
            errors.check();
            five += errors.five() / seeds.length;
        }
        // 5 % is half of the blocks that hold an outlier or less: which rows are mended is chance, and the range of
        // six draws bounds the mean of six others, not each of them.
        assertBetween(0.10, 0.22, five, "5 % of the blocks fall back, mean of the draws");
    }

    @Test
    void offEqualsBlocksWithoutFallbackBitForBit() {
        SplittableRandom random = new SplittableRandom(3);
        Matrix x = Matrix.normal(random, 161, 127, 1).map((row, col, v) -> row == 40 && col == 3 ? 1000 : v);
        Matrix w = Matrix.normal(random, 129, 127, 0.02f);
        Matrix dy = Matrix.normal(random, 161, 129, 1e-3f);
        LinearQuantizer block = Step.quantizer("int8-block", Map.of("block", "32"));
        for (String residualInGradWeight : new String[] {"false", "true"}) {
            Map<String, String> options =
                    Map.of("block", "32", "threshold", "off", "residualInGradWeight", residualInGradWeight);
            try (Step off = new Step(Step.quantizer("int8-fallback", options), 4, false);
                    Step plain = new Step(block, 4, false)) {
                for (Product product : Product.values()) {
                    assertArrayEquals(
                            plain.product(product, x, w, dy).values(),
                            off.product(product, x, w, dy).values(),
                            product.label());
                }
                assertEquals(0, Step.statistic(off.quantize(off.plan().input(), x), Statistic.FALLBACK_RATE));
            }
        }
    }

    @Test
    void allMakesEveryBlockThatIsNotZeroFallBack() {
        Matrix x = Matrix.normal(new SplittableRandom(3), 128, 160, 1).map((row, col, v) -> row < 32 ? 0 : v);
        Map<String, String> options = Map.of("block", "32", "threshold", "all");
        try (Step step = new Step(Step.quantizer("int8-fallback", options), 0, true)) {
            HostQuantized quantized = step.quantize(step.plan().input(), x);
            assertEquals(0.75f, Step.statistic(quantized, Statistic.FALLBACK_RATE));
            assertEquals(-1, Step.statistic(quantized, Statistic.THRESHOLD));
            // |x - q1 s1 - q2 s2| <= amax / 64516; 1.002 for the roundings of both steps to FP32
            Matrix input = step.dequantize(quantized.operand(Contraction.COLUMNS));
            float amax = Step.statistic(quantized, Statistic.AMAX);
            for (int i = 0; i < x.values().length; i++) {
                assertEquals(x.values()[i], input.values()[i], 1.002 * amax / 64516);
            }
        }
    }

    /** {@return share of distinct blocks, side by side, that fall back in the first step} */
    private static float firstRate(int blocks) {
        Matrix x = new Matrix(new float[16 * 16 * blocks], 16, 16 * blocks)
                .map((row, col, _) -> row + 1f + 100 * ((col / 16 * 37) % blocks)); // 37 is coprime to all of them
        LinearQuantizer quantizer =
                Step.quantizer("int8-fallback", Map.of("block", "16"), new LinearLayer(Step.SITE, x.cols(), 1));
        try (Step step = new Step(quantizer, 0, true, x.rows())) {
            HostQuantized quantized = step.quantize(step.plan().input(), x);
            return Step.statistic(quantized, Statistic.FALLBACK_RATE);
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {5, 6, 7, 9, 10, 13, 127, 129, 200})
    void firstStepOfDistinctBlocksIsInTheWindow(int blocks) {
        // nearest rank: blocks - ceil(0.8 blocks) = floor(0.2 blocks) fall back, at least 0.1 blocks from 5 on
        float rate = firstRate(blocks);
        int flagged = blocks / 5;
        assertEquals((float) flagged / blocks, rate);
        assertTrue(rate >= 0.1f && rate <= 0.3f, "rate " + rate);
    }

    @ParameterizedTest
    @CsvSource({"1, 0", "2, 0", "3, 1", "4, 1"})
    void ofAFewBlocksAsManyFallBackAsIsNearestToAFifth(int blocks, int flagged) {
        // A nearest rank leaves none of them above. One of 3, 0.33, is nearer to 0.2 than 0; one of 2, 0.5, is not.
        assertEquals((float) flagged / blocks, firstRate(blocks));
    }

    @Test
    void tiedBlocksStayOutTogether() {
        // A threshold cannot divide equal blocks. Of 20, 10 have amax 2 and 10 amax 1: the quantile 0.8 is 2, above
        // it none.
        Matrix tied = new Matrix(new float[16 * 320], 16, 320).map((_, col, _) -> col / 16 % 2 == 0 ? 2 : 1);
        Matrix equal = tied.map((_, _, _) -> 1);
        try (Step step = new Step(Step.quantizer("int8-fallback", Map.of("block", "16")), 0, true)) {
            HostQuantized two = step.quantize(step.plan().input(), tied);
            assertEquals(2, Step.statistic(two, Statistic.THRESHOLD));
            assertEquals(0, Step.statistic(two, Statistic.FALLBACK_RATE));
            HostQuantized one = step.quantize(step.plan().input(), equal);
            assertEquals(1, Step.statistic(one, Statistic.THRESHOLD));
            assertEquals(0, Step.statistic(one, Statistic.FALLBACK_RATE));
        }
    }
}
