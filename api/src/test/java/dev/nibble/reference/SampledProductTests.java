package dev.nibble.reference;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.gemm.Epilogue;
import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Product;
import dev.nibble.gemm.Sampling;
import dev.nibble.gemm.Term;
import dev.nibble.host.HostOperand;
import dev.nibble.quant.Contraction;
import dev.nibble.quant.Granularity;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.quant.ScaleRule;
import dev.nibble.quant.SplitMode;
import dev.nibble.random.Purpose;
import dev.nibble.random.RandomStream;
import dev.nibble.spi.StepContext;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Role;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

class SampledProductTests {
    private static final double GRID = 0x1p24;
    private static final int NEVER = -1;
    static final List<Term> DIGITS = List.of(new Term(0, 0), new Term(1, 0));

    private static double power(int exponent) {
        return exponent == NEVER ? 0 : Math.scalb(1.0, -exponent);
    }

    /** Sums over draws of a sampled product, judged by its exact mean and variances. */
    private static final class Draws {
        private final double[] mean; // exact, [elements]
        private final double[] variance; // exact, [elements]
        private final double[] sums; // of errors, [elements]
        private double squares; // of the length of the error
        private double fourths;
        private int count;

        Draws(int elements) {
            mean = new double[elements];
            variance = new double[elements];
            sums = new double[elements];
        }

        void add(float[] product) {
            double square = 0;
            for (int i = 0; i < product.length; i++) {
                double error = product[i] - mean[i];
                sums[i] += error;
                square += error * error;
            }
            squares += square;
            fourths += square * square;
            count++;
        }

        void assertUnbiasedWithItsVariance() {
            for (int i = 0; i < sums.length; i++) {
                double z = sums[i] / count / Math.sqrt(variance[i] / count);
                assertTrue(Math.abs(z) < 5, "element " + i + " is off by " + z + " standard errors");
            }
            double total = Arrays.stream(variance).sum();
            double standardError = Math.sqrt((fourths / count - Math.pow(squares / count, 2)) / count);
            assertEquals(total, squares / count, 5 * standardError);
            assertTrue(standardError < 0.05 * total, "the check can fail");
        }
    }

    @Test
    void sampledGradWeightIsUnbiasedWithTheVarianceOfTheClosedForm() {
        byte[] exponents = LeverageSampling.exponents(SampledLayer.scores(true), SampledLayer.TOKENS);
        assertTrue(Arrays.stream(toInts(exponents)).distinct().count() >= 5, "weights 1, 2, 4, … all occur");
        Draws draws = new Draws(SampledLayer.OUT * SampledLayer.IN);
        double total = 0;
        for (int row = 0; row < 2 * SampledLayer.TOKENS; row++) {
            int plane = row / SampledLayer.TOKENS;
            int token = row % SampledLayer.TOKENS;
            double p = power(exponents[row]);
            double excess = p == 0 ? 0 : (1 - p) / p;
            total += excess * Math.pow(SampledLayer.norm(plane, token) * SampledLayer.normX(token), 2);
            for (int i = 0; i < draws.mean.length; i++) {
                double product = SampledLayer.digit(plane, token, i / SampledLayer.IN)
                        * SampledLayer.X[token * SampledLayer.IN + i % SampledLayer.IN];
                draws.mean[i] += product;
                draws.variance[i] += excess * product * product;
            }
        }
        assertEquals(total, Arrays.stream(draws.variance).sum(), 1e-9 * total, "Proposition 4.1");
        for (int step = 0; step < 4000; step++) {
            try (SampledLayer layer = new SampledLayer(step)) {
                draws.add(layer.gradWeight(Sampling.LEVERAGE));
            }
        }
        draws.assertUnbiasedWithItsVariance();
    }

    @Test
    void sampledGradInputIsUnbiasedWithTheVarianceOfTheClosedForm() {
        int[] grid = LeverageSampling.gridProbabilities(SampledLayer.scores(false), SampledLayer.TOKENS);
        Draws draws = new Draws(SampledLayer.TOKENS * SampledLayer.IN);
        for (int row = 0; row < 2 * SampledLayer.TOKENS; row++) {
            int plane = row / SampledLayer.TOKENS;
            int token = row % SampledLayer.TOKENS;
            double p = grid[row] / GRID;
            double excess = p == 0 ? 0 : (1 - p) / p;
            for (int i = 0; i < SampledLayer.IN; i++) {
                double product = 0;
                for (int o = 0; o < SampledLayer.OUT; o++) {
                    product += SampledLayer.digit(plane, token, o) * SampledLayer.W[o * SampledLayer.IN + i];
                }
                draws.mean[token * SampledLayer.IN + i] += product;
                draws.variance[token * SampledLayer.IN + i] += excess * product * product;
            }
        }
        for (int i = 0; i < draws.variance.length; i++) {
            // An element whose row has p = 1 is off by roundings alone: far below one unit.
            draws.variance[i] = Math.max(draws.variance[i], 1e-6);
        }
        for (int step = 0; step < 4000; step++) {
            try (SampledLayer layer = new SampledLayer(step)) {
                draws.add(layer.gradInput(Sampling.LEVERAGE));
            }
        }
        draws.assertUnbiasedWithItsVariance();
    }

    private static int[] toInts(byte[] values) {
        int[] ints = new int[values.length]; // [length]
        Arrays.setAll(ints, i -> values[i]);
        return ints;
    }

    @Test
    void keptTokensAreThoseWhoseDrawIsBelowTheirProbability() {
        byte[] exponents = LeverageSampling.exponents(SampledLayer.scores(true), SampledLayer.TOKENS);
        for (int step = 0; step < 20; step++) {
            RandomStream stream = new RandomStream(
                    Session.SEED, step, 0, Session.SITE.ordinal(), Role.GRAD_OUTPUT, Purpose.SAMPLE_GRAD_WEIGHT, 0);
            try (SampledLayer layer = new SampledLayer(step)) {
                List<LeverageSampling.Kept> segments = LeverageSampling.keptTokens(
                        new GemmSpec(Product.GRAD_WEIGHT, DIGITS, Sampling.LEVERAGE, Epilogue.ADD),
                        layer.dyRows,
                        RowNorms.alongRows(layer.dyRows),
                        RowNorms.alongRows(layer.x),
                        Session.SITE,
                        StepContext.train(step, 0),
                        Session.SEED);
                boolean[] kept = new boolean[2 * SampledLayer.TOKENS]; // [2][tokens]
                int last = -1; // place of the segment before: exponent, then term
                for (LeverageSampling.Kept segment : segments) {
                    assertTrue(2 * segment.exponent() + segment.term() > last, "segments in order");
                    last = 2 * segment.exponent() + segment.term();
                    assertTrue(segment.tokens().length > 0);
                    int before = -1;
                    for (int token : segment.tokens()) {
                        assertTrue(token > before, "tokens ascending");
                        before = token;
                        kept[segment.term() * SampledLayer.TOKENS + token] = true;
                        assertEquals(segment.exponent(), exponents[segment.term() * SampledLayer.TOKENS + token]);
                    }
                }
                for (int row = 0; row < kept.length; row++) {
                    assertEquals(stream.uniform(row) < power(exponents[row]), kept[row], "row " + row);
                }
            }
        }
    }

    @Test
    void rowWeightsAreTheReciprocalsOfTheProbabilitiesOfKeptRows() {
        int[] grid = LeverageSampling.gridProbabilities(SampledLayer.scores(false), SampledLayer.TOKENS);
        RandomStream stream = new RandomStream(
                Session.SEED, 9, 0, Session.SITE.ordinal(), Role.GRAD_OUTPUT, Purpose.SAMPLE_GRAD_INPUT, 0);
        try (SampledLayer layer = new SampledLayer(9)) {
            float[][] weights = LeverageSampling.rowWeights(
                    new GemmSpec(Product.GRAD_INPUT, DIGITS, Sampling.LEVERAGE, Epilogue.STORE),
                    layer.dyColumns,
                    RowNorms.alongContraction(layer.dyColumns),
                    Session.SITE,
                    StepContext.train(9, 0),
                    Session.SEED); // [2][tokens]
            int dropped = 0;
            for (int row = 0; row < grid.length; row++) {
                boolean kept = stream.uniform(row) < grid[row] / GRID;
                dropped += kept ? 0 : 1;
                float expected = kept ? 1 / (grid[row] / 0x1p24f) : 0;
                assertEquals(expected, weights[row / SampledLayer.TOKENS][row % SampledLayer.TOKENS], "row " + row);
            }
            assertTrue(dropped > 5 && dropped < 40, dropped + " are dropped");
        }
    }

    @Test
    void skippingZeroRowsChangesNoBit() {
        try (SampledLayer layer = new SampledLayer(1)) {
            assertArrayEquals(layer.gradWeight(Sampling.NONE), layer.gradWeight(Sampling.NONZERO_ROWS));
            assertArrayEquals(layer.gradInput(Sampling.NONE), layer.gradInput(Sampling.NONZERO_ROWS));
            assertFalse(Arrays.equals(layer.gradWeight(Sampling.NONE), layer.gradWeight(Sampling.LEVERAGE)));
            assertFalse(Arrays.equals(layer.gradInput(Sampling.NONE), layer.gradInput(Sampling.LEVERAGE)));
        }
    }

    private static HostOperand digits(Session session, float[] dy, int tokens, int out, Contraction contraction) {
        QuantizeSpec spec = QuantizeSpec.both(Role.GRAD_OUTPUT, PlaneSpec.digits(SplitMode.UNBIASED));
        return Session.operand(session.quantize(spec, dy, tokens, out), contraction);
    }

    private static HostOperand int4(Session session, Role role, float[] x, int rows, int cols) {
        return Session.operand(
                session.quantize(QuantizeSpec.both(role, List.of(SampledLayer.int4())), x, rows, cols),
                Contraction.ROWS);
    }

    private static float[] gradWeight(
            Session session, Sampling sampling, float[] dy, float[] x, int tokens, int out, int in) {
        return session.multiply(
                new GemmSpec(Product.GRAD_WEIGHT, DIGITS, sampling, Epilogue.STORE),
                digits(session, dy, tokens, out, Contraction.ROWS),
                int4(session, Role.INPUT, x, tokens, in));
    }

    private static float[] gradInput(
            Session session, Sampling sampling, float[] dy, float[] w, int tokens, int out, int in) {
        return session.multiply(
                new GemmSpec(Product.GRAD_INPUT, DIGITS, sampling, Epilogue.STORE),
                digits(session, dy, tokens, out, Contraction.COLUMNS),
                int4(session, Role.WEIGHT, w, out, in));
    }

    @ParameterizedTest
    @CsvSource({"2, 13, 5", "7, 3, 129", "128, 1, 3"})
    void digitsThatFitTheBudgetAreNotSampled(int tokens, int out, int in) {
        float[] dy = new float[tokens * out]; // [tokens, out]; one token, so two rows of digits at most
        System.arraycopy(Data.normal(1, out), 0, dy, out, out);
        float[] x = Data.normal(2, tokens * in);
        float[] w = Data.normal(3, out * in);
        try (Session session = new Session()) {
            assertArrayEquals(
                    gradWeight(session, Sampling.NONE, dy, x, tokens, out, in),
                    gradWeight(session, Sampling.LEVERAGE, dy, x, tokens, out, in));
            assertArrayEquals(
                    gradInput(session, Sampling.NONE, dy, w, tokens, out, in),
                    gradInput(session, Sampling.LEVERAGE, dy, w, tokens, out, in));
        }
    }

    @Test
    void oneTokenIsSampledToo() {
        double sum = 0;
        double squares = 0;
        int draws = 2000;
        for (int step = 0; step < draws; step++) {
            try (Session session = new Session(step)) {
                float value = gradInput(session, Sampling.LEVERAGE, new float[] {119}, new float[] {7}, 1, 1, 1)[0];
                sum += value;
                squares += (double) value * value;
            }
        }
        // 119 = 16 · 7 + 7, one of the two on average; 833 is the product
        double mean = sum / draws;
        assertEquals(833, mean, 5 * Math.sqrt((squares / draws - mean * mean) / draws));
        assertTrue(squares / draws > 833 * 833 * 1.01, "it is sampled");
    }

    @ParameterizedTest
    @EnumSource(Sampling.class)
    void zeroGradientGivesZeros(Sampling sampling) {
        try (Session session = new Session()) {
            float[] x = Data.normal(1, 5 * 4);
            float[] w = Data.normal(2, 3 * 4);
            assertArrayEquals(new float[12], gradWeight(session, sampling, new float[15], x, 5, 3, 4));
            assertArrayEquals(new float[20], gradInput(session, sampling, new float[15], w, 5, 3, 4));
            float[] dy = Data.normal(3, 15);
            assertArrayEquals(new float[12], gradWeight(session, sampling, dy, new float[20], 5, 3, 4));
        }
    }

    @ParameterizedTest
    @EnumSource(Sampling.class)
    void whatIsNotFiniteIsNeverSampledAway(Sampling sampling) {
        for (float bad : new float[] {Float.NaN, Float.POSITIVE_INFINITY}) {
            float[] good = Data.normal(1, 20); // [5, 4]
            float[] spoilt = good.clone(); // [5, 4]
            spoilt[7] = bad;
            try (Session session = new Session()) {
                assertAllNan(gradWeight(session, sampling, spoilt, good, 5, 4, 4));
                assertAllNan(gradWeight(session, sampling, good, spoilt, 5, 4, 4));
                assertAllNan(gradInput(session, sampling, spoilt, Data.normal(2, 16), 5, 4, 4));
                assertAllNan(gradInput(session, sampling, Data.normal(2, 15), spoilt, 3, 5, 4));
            }
        }
    }

    private static void assertAllNan(float[] values) {
        for (float value : values) {
            assertTrue(Float.isNaN(value), "found " + value);
        }
    }

    @Test
    void tinyGradientsAreSampledLikeLargeOnes() {
        float[] x = Data.normal(1, 40 * 4);
        float[] dy = Data.normal(2, 40 * 3);
        float[] tiny = new float[dy.length]; // [40, 3]
        for (int i = 0; i < dy.length; i++) {
            tiny[i] = dy[i] * 0x1p-100f;
        }
        try (Session session = new Session()) {
            float[] expected = gradWeight(session, Sampling.LEVERAGE, dy, x, 40, 3, 4);
            float[] scaled = gradWeight(session, Sampling.LEVERAGE, tiny, x, 40, 3, 4);
            for (int i = 0; i < expected.length; i++) {
                assertEquals(expected[i] * 0x1p-100f, scaled[i], "a power of two changes no code and no draw");
            }
        }
    }

    @Test
    void operandsOfSeveralScalesAreRefused() {
        PlaneSpec rows = PlaneSpec.value(
                DType.INT8, new Granularity.PerRow(), new ScaleRule.AmaxOverTop(), Rounding.NEAREST_EVEN);
        try (Session session = new Session()) {
            HostOperand a = digits(session, Data.normal(1, 12), 4, 3, Contraction.ROWS);
            HostOperand b = Session.operand(
                    session.quantize(QuantizeSpec.both(Role.INPUT, List.of(rows)), Data.normal(2, 8), 4, 2),
                    Contraction.ROWS);
            GemmSpec spec = new GemmSpec(Product.GRAD_WEIGHT, DIGITS, Sampling.LEVERAGE, Epilogue.STORE);
            IllegalArgumentException refused =
                    assertThrows(IllegalArgumentException.class, () -> session.multiply(spec, a, b));
            assertEquals(
                    "gradWeight samples rows of int8 codes with PerRow[], but needs integer codes with one scale",
                    refused.getMessage());
        }
    }
}
