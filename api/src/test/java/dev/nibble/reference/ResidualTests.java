package dev.nibble.reference;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.host.HostOperand;
import dev.nibble.host.HostQuantized;
import dev.nibble.quant.Contraction;
import dev.nibble.quant.Granularity;
import dev.nibble.quant.OperandSpec;
import dev.nibble.quant.PlaneSource;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.quant.ScaleRule;
import dev.nibble.quant.Statistic;
import dev.nibble.quant.Threshold;
import dev.nibble.state.StateVector;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Role;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ResidualTests {
    private static final String STATE = "threshold";

    private static PlaneSpec value(int rows, int k) {
        return PlaneSpec.value(
                DType.INT8, new Granularity.PerBlock(rows, k), new ScaleRule.AmaxOverTop(), Rounding.NEAREST_EVEN);
    }

    private static QuantizeSpec both(PlaneSpec first, Threshold threshold) {
        return QuantizeSpec.both(Role.INPUT, List.of(first, PlaneSpec.residual(first, threshold)));
    }

    private static QuantizeSpec delayed(int rows, int k) {
        return both(value(rows, k), new Threshold.Delayed(STATE));
    }

    private static StateVector threshold(float value) {
        return StateVector.scalar(STATE, value);
    }

    @ParameterizedTest
    @CsvSource({"1, 1", "13, 129", "127, 128", "129, 127", "256, 128"})
    void errorInFlaggedBlocksIsAtMostAmaxOver64516(int rows, int cols) {
        float[] x = Data.withOutliers(rows, rows * cols, 500);
        try (Session session = new Session()) {
            HostOperand operand = Session.operand(
                    session.quantize(delayed(128, 128), x, rows, cols, threshold(-1)), Contraction.COLUMNS);
            byte[] codes = Session.codes(operand, 0);
            byte[] rest = Session.codes(operand, 1);
            int rowGroups = Math.ceilDiv(rows, 128);
            // Each of the two steps has the slack 1 + 254·3.2u of its own; d itself is rounded once, 254·u of
            // its step.
            double slack = Math.pow(1 + 254 * 3.2 * 0x1p-24, 2) * (1 + 254 * 0x1p-24) * (1 + 0x1p-22);
            for (int row = 0; row < rows; row++) {
                for (int col = 0; col < cols; col++) {
                    int i = row * cols + col;
                    int group = col / 128 * rowGroups + row / 128;
                    double scale0 = Session.scales(operand, 0)[group];
                    double scale1 = Session.scales(operand, 1)[group];
                    assertEquals(1, Session.mask(operand, 1)[group]);
                    double error = Math.abs(x[i] - scale0 * codes[i] - scale1 * rest[i]);
                    assertTrue(error <= scale0 * 127 / 64516 * slack, row + ", " + col);
                }
            }
        }
    }

    @Test
    void residualIsTakenAgainstTheStoredScale() {
        int n = 300;
        float[] x = Data.normal(1, n);
        try (Session session = new Session()) {
            HostOperand operand =
                    Session.operand(session.quantize(delayed(n, n), x, 1, n, threshold(0)), Contraction.COLUMNS);
            float scale = Session.scales(operand, 0)[0];
            byte[] codes = Session.codes(operand, 0);
            float[] rest = new float[n];
            for (int i = 0; i < n; i++) {
                rest[i] = Math.fma(-scale, codes[i], x[i]);
            }
            GroupScale expected = GroupScale.residual(DType.INT8, Data.amax(rest));
            assertEquals(expected.scale(), Session.scales(operand, 1)[0]);
            byte[] residual = Session.codes(operand, 1);
            for (int i = 0; i < n; i++) {
                assertEquals(Rounder.nearest(rest[i] * expected.multiplier()), residual[i]);
            }
        }
    }

    @Test
    void onlyBlocksStrictlyAboveTheThresholdHaveAResidual() {
        float[] x = {1, 2.3f, 3, 4.7f, 5, 6.1f}; // 3 blocks with amax 2.3, 4.7, 6.1
        try (Session session = new Session()) {
            HostQuantized quantized = session.quantize(delayed(1, 2), x, 1, 6, threshold(4.7f));
            HostOperand operand = Session.operand(quantized, Contraction.COLUMNS);
            assertArrayEquals(new byte[] {0, 0, 1}, Session.mask(operand, 1));
            float[] scales = Session.scales(operand, 1);
            assertEquals(0f, scales[0]);
            assertEquals(0f, scales[1]);
            assertTrue(scales[2] > 0);
            byte[] codes = Session.codes(operand, 1);
            for (int i = 0; i < 4; i++) {
                assertEquals(0, codes[i]);
            }
            assertTrue(codes[4] != 0);
            assertEquals(1 / 3f, Session.statistic(quantized, Statistic.FALLBACK_RATE));
            assertEquals(4.7f, Session.statistic(quantized, Statistic.THRESHOLD));
            assertEquals(6.1f / 4.7f, Session.statistic(quantized, Statistic.OUTLIER_RATIO));
            assertEquals(6.1f, Session.statistic(quantized, Statistic.AMAX));
        }
    }

    @Test
    void zeroTinyAndNonFiniteBlocksAreNeverFlagged() {
        float[] x = {0, 0x1p-120f, 0x1p-119f, Float.NaN, Float.POSITIVE_INFINITY, 1.5f}; // 6 blocks
        try (Session session = new Session()) {
            HostOperand operand =
                    Session.operand(session.quantize(delayed(1, 1), x, 1, 6, threshold(-1)), Contraction.COLUMNS);
            assertArrayEquals(new byte[] {0, 0, 1, 0, 0, 1}, Session.mask(operand, 1));
            for (float scale : Session.scales(operand, 1)) {
                assertTrue(Float.isFinite(scale));
            }
            session.takeNonFinite();
        }
    }

    @Test
    void thresholdNanFlagsNothing() {
        try (Session session = new Session()) {
            HostQuantized quantized = session.quantize(delayed(1, 1), new float[] {1, 2}, 1, 2, threshold(Float.NaN));
            assertArrayEquals(new byte[] {0, 0}, Session.mask(Session.operand(quantized, Contraction.COLUMNS), 1));
            assertEquals(0f, Session.statistic(quantized, Statistic.FALLBACK_RATE));
        }
    }

    @Test
    void exactlyRepresentedBlockHasResidualScaleZero() {
        float[] x = {127, -64, 3, 0};
        try (Session session = new Session()) {
            HostOperand operand =
                    Session.operand(session.quantize(delayed(4, 4), x, 1, 4, threshold(0)), Contraction.COLUMNS);
            assertArrayEquals(new byte[] {1}, Session.mask(operand, 1));
            assertArrayEquals(new float[] {0}, Session.scales(operand, 1));
            assertArrayEquals(new byte[4], Session.codes(operand, 1));
        }
    }

    @Test
    void planeZeroDoesNotDependOnTheResidual() {
        float[] x = Data.withOutliers(2, 40 * 50, 100);
        try (Session session = new Session()) {
            HostOperand with =
                    Session.operand(session.quantize(delayed(16, 16), x, 40, 50, threshold(5)), Contraction.COLUMNS);
            HostOperand without = Session.operand(
                    session.quantize(QuantizeSpec.both(Role.INPUT, List.of(value(16, 16))), x, 40, 50),
                    Contraction.COLUMNS);
            assertArrayEquals(Session.codes(without, 0), Session.codes(with, 0));
            assertArrayEquals(Session.scales(without, 0), Session.scales(with, 0));
        }
    }

    @Test
    void squareBlocksShareBothPlanes() {
        int rows = 33;
        int cols = 70;
        float[] x = Data.withOutliers(3, rows * cols, 200);
        try (Session session = new Session()) {
            HostQuantized quantized = session.quantize(delayed(16, 16), x, rows, cols, threshold(4));
            HostOperand columns = Session.operand(quantized, Contraction.COLUMNS);
            HostOperand transposed = Session.operand(quantized, Contraction.ROWS);
            for (int plane = 0; plane < 2; plane++) {
                assertSame(
                        columns.planes().get(plane).codes().bytes(),
                        transposed.planes().get(plane).codes().bytes());
            }
            float rate = Session.statistic(quantized, Statistic.FALLBACK_RATE);
            assertTrue(rate > 0 && rate < 1, "the data must have both kinds of blocks, but the rate is " + rate);
            assertArrayEquals(Data.transpose(session.dequantize(columns), rows, cols), session.dequantize(transposed));
            HostOperand direct = Session.operand(
                    session.quantize(delayed(16, 16), Data.transpose(x, rows, cols), cols, rows, threshold(4)),
                    Contraction.COLUMNS);
            assertArrayEquals(Session.mask(direct, 1), Session.mask(transposed, 1));
            assertArrayEquals(Session.scales(direct, 1), Session.scales(transposed, 1));
            assertArrayEquals(Session.codes(direct, 1), Session.codes(transposed, 1));
        }
    }

    @Test
    void oneOperandAloneMayHaveTheResidual() {
        float[] x = Data.withOutliers(4, 32 * 32, 300);
        PlaneSpec first = value(16, 16);
        PlaneSpec residual = PlaneSpec.residual(first, new Threshold.Delayed(STATE));
        for (Contraction with : Contraction.values()) {
            Contraction without = with == Contraction.ROWS ? Contraction.COLUMNS : Contraction.ROWS;
            QuantizeSpec spec = new QuantizeSpec(
                    Role.INPUT,
                    List.of(new OperandSpec(without, List.of(first)), new OperandSpec(with, List.of(first, residual))));
            try (Session session = new Session()) {
                HostQuantized quantized = session.quantize(spec, x, 32, 32, threshold(4));
                HostOperand plain = Session.operand(quantized, without);
                HostOperand fallback = Session.operand(quantized, with);
                assertEquals(1, plain.planes().size());
                assertEquals(2, fallback.planes().size());
                assertSame(
                        plain.planes().getFirst().codes().bytes(),
                        fallback.planes().getFirst().codes().bytes());
                HostOperand reference =
                        Session.operand(session.quantize(delayed(16, 16), x, 32, 32, threshold(4)), with);
                assertArrayEquals(Session.codes(reference, 1), Session.codes(fallback, 1));
                assertArrayEquals(Session.scales(reference, 1), Session.scales(fallback, 1));
                assertTrue(Session.statistic(quantized, Statistic.FALLBACK_RATE) > 0);
            }
        }
    }

    @Test
    void oblongBlocksDecideBothWaysWithOneThreshold() {
        int rows = 24;
        int cols = 30;
        float[] x = Data.withOutliers(5, rows * cols, 60);
        try (Session session = new Session()) {
            HostQuantized quantized =
                    session.quantize(both(value(1, 10), new Threshold.ExactQuantile(0.8)), x, rows, cols);
            HostOperand columns = Session.operand(quantized, Contraction.COLUMNS);
            HostOperand transposed = Session.operand(quantized, Contraction.ROWS);
            assertNotSame(
                    columns.planes().get(1).codes().bytes(),
                    transposed.planes().get(1).codes().bytes());
            float threshold = Session.statistic(quantized, Statistic.THRESHOLD);
            // 72 blocks of columns: rank ceil(57.6) = 58, so 14 lie above.
            assertEquals(14 / 72f, Session.statistic(quantized, Statistic.FALLBACK_RATE));
            byte[] mask = Session.mask(transposed, 1); // [ceil(24/10)][30]
            assertEquals(90, mask.length);
            for (int group = 0; group < mask.length; group++) {
                float amax = 0;
                for (int row = group / 30 * 10; row < Math.min(rows, (group / 30 + 1) * 10); row++) {
                    amax = Math.max(amax, Math.abs(x[row * cols + group % 30]));
                }
                assertEquals(amax > threshold ? 1 : 0, mask[group], "block " + group);
            }
        }
    }

    @Test
    void quantileIsTheNearestRankWithTies() {
        float[] amaxes = {3, 1, 2, 2, 1};
        assertEquals(1f, BlockMetric.quantile(amaxes, 0));
        assertEquals(1f, BlockMetric.quantile(amaxes, 0.4));
        assertEquals(2f, BlockMetric.quantile(amaxes, 0.41));
        assertEquals(2f, BlockMetric.quantile(amaxes, 0.8));
        assertEquals(3f, BlockMetric.quantile(amaxes, 1));
        assertArrayEquals(new float[] {3, 1, 2, 2, 1}, amaxes);
        float[] x = {2, 1, 2, 3, 2}; // 5 blocks
        try (Session session = new Session()) {
            HostQuantized quantized = session.quantize(both(value(1, 1), new Threshold.ExactQuantile(0.4)), x, 1, 5);
            assertEquals(2f, Session.statistic(quantized, Statistic.THRESHOLD));
            assertArrayEquals(
                    new byte[] {0, 0, 0, 1, 0}, Session.mask(Session.operand(quantized, Contraction.COLUMNS), 1));
        }
    }

    @Test
    void outlierRatioIsLargestOverMedian() {
        assertEquals(5f, BlockMetric.outlierRatio(new float[] {10, 1, 2}));
        assertEquals(10f, BlockMetric.outlierRatio(new float[] {10, 1, 2, 1})); // the lower of two middle values
        assertEquals(0f, BlockMetric.outlierRatio(new float[] {0, 0}));
        assertEquals(Float.POSITIVE_INFINITY, BlockMetric.outlierRatio(new float[] {0, 0, 1}));
        assertTrue(Float.isNaN(BlockMetric.outlierRatio(new float[] {1, Float.NaN, 1})));
    }

    @Test
    void thresholdOfAnUnknownStateIsRejected() {
        try (Session session = new Session()) {
            IllegalArgumentException e = assertThrows(
                    IllegalArgumentException.class,
                    () -> session.quantize(delayed(1, 1), new float[] {1}, 1, 1, StateVector.scalar("other", 0)));
            assertEquals("no state vector is named 'threshold'; the layer has [other]", e.getMessage());
        }
    }

    @Test
    void residualOfAnotherKindIsRejected() {
        PlaneSpec first = value(4, 4);
        PlaneSource source = new PlaneSource.Residual(new Threshold.ExactQuantile(0.5));
        PlaneSpec stochastic = new PlaneSpec(
                source, DType.INT8, first.granularity(), new ScaleRule.AmaxOverTop(), Rounding.STOCHASTIC);
        PlaneSpec plain = PlaneSpec.residual(first, new Threshold.ExactQuantile(0.5));
        try (Session session = new Session()) {
            QuantizeSpec spec = QuantizeSpec.both(Role.INPUT, List.of(first, stochastic));
            assertThrows(IllegalArgumentException.class, () -> session.quantize(spec, new float[] {1}, 1, 1));
        }
        assertThrows(IllegalArgumentException.class, () -> QuantizeSpec.both(Role.INPUT, List.of(first, plain, plain)));
    }
}
