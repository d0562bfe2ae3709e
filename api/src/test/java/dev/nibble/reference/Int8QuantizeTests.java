package dev.nibble.reference;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.host.HostOperand;
import dev.nibble.host.HostQuantized;
import dev.nibble.host.HostTensor;
import dev.nibble.quant.Contraction;
import dev.nibble.quant.Granularity;
import dev.nibble.quant.OperandSpec;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.quant.ScaleRule;
import dev.nibble.quant.Statistic;
import dev.nibble.random.Purpose;
import dev.nibble.random.RandomStream;
import dev.nibble.spi.Backend;
import dev.nibble.spi.BackendOptions;
import dev.nibble.spi.NonFinite;
import dev.nibble.spi.Quantized;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Role;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class Int8QuantizeTests {
    private static final Granularity TENSOR = new Granularity.PerTensor();
    private static final Granularity ROW = new Granularity.PerRow();

    private static Granularity block(int rows, int k) {
        return new Granularity.PerBlock(rows, k);
    }

    private static PlaneSpec int8(Granularity granularity, Rounding rounding) {
        return PlaneSpec.value(DType.INT8, granularity, new ScaleRule.AmaxOverTop(), rounding);
    }

    private static QuantizeSpec both(Granularity granularity, Rounding rounding) {
        return QuantizeSpec.both(Role.GRAD_OUTPUT, List.of(int8(granularity, rounding)));
    }

    @ParameterizedTest
    @CsvSource({"1, 1", "13, 129", "127, 128", "129, 127", "128, 300"})
    void errorOfNearestIsAtMostAmaxOver254(int rows, int cols) {
        float[] x = Data.withOutliers(rows, rows * cols, 500);
        try (Session session = new Session()) {
            HostOperand operand = Session.operand(
                    session.quantize(both(block(128, 128), Rounding.NEAREST_EVEN), x, rows, cols), Contraction.COLUMNS);
            byte[] codes = Session.codes(operand, 0);
            float[] scales = Session.scales(operand, 0);
            int rowGroups = Math.ceilDiv(rows, 128);
            assertEquals(rowGroups * Math.ceilDiv(cols, 128), scales.length);
            // Rounding t = x·(127/a) and s = a/127 adds |t|·3u·s <= 127·3u·a/127 to a/254: a factor below
            // 1 + 254·3.2u.
            double slack = 1 + 254 * 3.2 * 0x1p-24;
            for (int row = 0; row < rows; row++) {
                for (int col = 0; col < cols; col++) {
                    int i = row * cols + col;
                    float scale = scales[col / 128 * rowGroups + row / 128];
                    double bound = scale * 127.0 * (1 + 0x1p-23) / 254 * slack;
                    assertTrue(Math.abs(x[i] - (double) scale * codes[i]) <= bound, row + ", " + col);
                }
            }
        }
    }

    @Test
    void amaxHasCode127AndNoCodeIsBeyond() {
        // For some amax, a · (127 / a) rounds above 127.
        int above = 0;
        int n = 20_000;
        float[] x = Data.normal(1, n); // [n, 1]: each its own row, so each is an amax
        for (Rounding rounding : List.of(Rounding.NEAREST_EVEN, Rounding.STOCHASTIC)) {
            try (Session session = new Session()) {
                byte[] codes = Session.codes(
                        Session.operand(session.quantize(both(ROW, rounding), x, n, 1), Contraction.COLUMNS), 0);
                for (int i = 0; i < n; i++) {
                    above += Math.abs(x[i]) * (127f / Math.abs(x[i])) > 127 ? 1 : 0;
                    boolean mayBe126 = rounding == Rounding.STOCHASTIC; // just below 127, with a small probability
                    assertTrue(Math.abs(codes[i]) == 127 || (mayBe126 && Math.abs(codes[i]) == 126), "element " + i);
                }
            }
        }
        assertTrue(above > 0, "the data must reach the case");
    }

    @Test
    void scalesLieByContractionGroupThenRowGroup() {
        int rows = 5;
        int cols = 7;
        float[] x = new float[rows * cols]; // [rows, cols]
        for (int i = 0; i < x.length; i++) {
            x[i] = 127 * (i + 1);
        }
        try (Session session = new Session()) {
            HostQuantized quantized = session.quantize(both(block(2, 3), Rounding.NEAREST_EVEN), x, rows, cols);
            // The last element of each block is its amax: element [row, col] is 127·(7·row + col + 1).
            float[] columns = {10, 24, 31, 13, 27, 34, 14, 28, 35}; // [ceil(7/3)][ceil(5/2)]
            assertArrayEquals(columns, Session.scales(Session.operand(quantized, Contraction.COLUMNS), 0));
            float[] rowsContracted = {16, 18, 20, 21, 30, 32, 34, 35}; // [ceil(5/3)][ceil(7/2)]
            assertArrayEquals(rowsContracted, Session.scales(Session.operand(quantized, Contraction.ROWS), 0));
        }
    }

    @Test
    void perRowScalesFollowTheContraction() {
        float[] x = {127, 2, 254, 508}; // [2, 2]
        try (Session session = new Session()) {
            HostQuantized quantized = session.quantize(both(ROW, Rounding.NEAREST_EVEN), x, 2, 2);
            assertArrayEquals(new float[] {1, 4}, Session.scales(Session.operand(quantized, Contraction.COLUMNS), 0));
            assertArrayEquals(new float[] {2, 4}, Session.scales(Session.operand(quantized, Contraction.ROWS), 0));
        }
    }

    @Test
    void zeroSubnormalAndTinyBlocksHaveCodesZeroAndScaleOne() {
        float[] x = {0, -0f, Float.MIN_VALUE, -Float.MIN_NORMAL, Math.nextDown(0x1p-119f), 0x1p-119f};
        try (Session session = new Session()) {
            HostOperand operand = Session.operand(
                    session.quantize(both(block(1, 1), Rounding.STOCHASTIC), x, 1, 6), Contraction.COLUMNS);
            assertArrayEquals(new byte[] {0, 0, 0, 0, 0, 127}, Session.codes(operand, 0));
            assertArrayEquals(new float[] {1, 1, 1, 1, 1, 0x1p-119f / 127}, Session.scales(operand, 0));
        }
    }

    @Test
    void blockThatIsNotFiniteHasCodesZeroAndScaleNan() {
        float[] x = {1, 2, Float.NaN, 3, Float.POSITIVE_INFINITY, 4, 5, -6}; // 4 blocks of 2
        try (Session session = new Session()) {
            HostQuantized quantized = session.quantize(both(block(1, 2), Rounding.NEAREST_EVEN), x, 1, 8);
            HostOperand operand = Session.operand(quantized, Contraction.COLUMNS);
            byte[] codes = Session.codes(operand, 0);
            float[] scales = Session.scales(operand, 0);
            assertArrayEquals(new byte[] {64, 127, 0, 0, 0, 0, 106, -127}, codes);
            assertArrayEquals(new float[] {2 / 127f, Float.NaN, Float.NaN, 6 / 127f}, scales);
            assertTrue(Float.isNaN(Session.statistic(quantized, Statistic.AMAX)));
            assertEquals(List.of(new NonFinite(Session.SITE, Role.GRAD_OUTPUT)), session.takeNonFinite());
            assertEquals(List.of(), session.takeNonFinite());
        }
    }

    @Test
    void amaxStatisticIsInfiniteOnlyWithoutNan() {
        try (Session session = new Session()) {
            float[] infinite = {1, Float.NEGATIVE_INFINITY};
            float[] finite = {1, -3};
            QuantizeSpec spec = both(ROW, Rounding.NEAREST_EVEN);
            assertEquals(
                    Float.POSITIVE_INFINITY, Session.statistic(session.quantize(spec, infinite, 1, 2), Statistic.AMAX));
            session.takeNonFinite();
            assertEquals(3f, Session.statistic(session.quantize(spec, finite, 1, 2), Statistic.AMAX));
            assertEquals(0f, Session.statistic(session.quantize(spec, finite, 1, 2), Statistic.FALLBACK_RATE));
            assertEquals(List.of(), session.takeNonFinite());
        }
    }

    @ParameterizedTest
    @CsvSource({"13, 129, 0, 0", "127, 128, 32, 32", "129, 1, 128, 128"})
    void transposableGranularitySharesOneArray(int rows, int cols, int blockRows, int blockK) {
        Granularity granularity = blockRows == 0 ? TENSOR : block(blockRows, blockK);
        float[] x = Data.normal(2, rows * cols);
        try (Session session = new Session()) {
            HostQuantized quantized = session.quantize(both(granularity, Rounding.STOCHASTIC), x, rows, cols);
            HostOperand columns = Session.operand(quantized, Contraction.COLUMNS);
            HostOperand transposed = Session.operand(quantized, Contraction.ROWS);
            assertSame(
                    columns.planes().getFirst().codes().bytes(),
                    transposed.planes().getFirst().codes().bytes());
            assertEquals(cols, transposed.rows());
            assertEquals(rows, transposed.k());
            assertArrayEquals(Data.transpose(session.dequantize(columns), rows, cols), session.dequantize(transposed));
        }
    }

    @Test
    void transposedOperandEqualsTheQuantizedTranspose() {
        int rows = 13;
        int cols = 129;
        float[] x = Data.normal(3, rows * cols);
        for (Granularity granularity : List.of(TENSOR, ROW, block(8, 8), block(1, 128), block(16, 5))) {
            try (Session session = new Session()) {
                QuantizeSpec spec = both(granularity, Rounding.NEAREST_EVEN);
                HostOperand transposed = Session.operand(session.quantize(spec, x, rows, cols), Contraction.ROWS);
                HostOperand direct = Session.operand(
                        session.quantize(spec, Data.transpose(x, rows, cols), cols, rows), Contraction.COLUMNS);
                assertArrayEquals(Session.codes(direct, 0), Session.codes(transposed, 0));
                assertArrayEquals(Session.scales(direct, 0), Session.scales(transposed, 0));
            }
        }
    }

    @Test
    void drawsAreAddressedByTheUntransposedMatrix() {
        int rows = 13;
        int cols = 29;
        float[] x = Data.normal(4, rows * cols);
        try (Session session = new Session()) {
            HostQuantized quantized = session.quantize(both(ROW, Rounding.STOCHASTIC), x, rows, cols);
            for (Contraction contraction : Contraction.values()) {
                boolean columns = contraction == Contraction.COLUMNS;
                RandomStream stream = new RandomStream(
                        Session.SEED,
                        Session.STEP,
                        0,
                        Session.SITE.ordinal(),
                        Role.GRAD_OUTPUT,
                        columns ? Purpose.ROUND : Purpose.ROUND_TRANSPOSED,
                        0);
                byte[] codes = Session.codes(Session.operand(quantized, contraction), 0); // [operand rows, k]
                for (int row = 0; row < rows; row++) {
                    for (int col = 0; col < cols; col++) {
                        float amax = 0;
                        for (int i = 0; i < (columns ? cols : rows); i++) {
                            amax = Math.max(amax, Math.abs(columns ? x[row * cols + i] : x[i * cols + col]));
                        }
                        long element = (long) row * cols + col;
                        float t = x[(int) element] * (127f / amax);
                        byte expected = Rounder.stochastic(t, stream.uniform(element));
                        assertEquals(expected, codes[columns ? row * cols + col : col * rows + row]);
                    }
                }
            }
        }
    }

    @Test
    void drawsDependOnStepMicroBatchSiteRoleAndSeedAlone() {
        byte[] first = stochasticCodes(0, 0, 0, Role.INPUT, 1);
        assertArrayEquals(first, stochasticCodes(0, 0, 0, Role.INPUT, 1));
        assertFalse(Arrays.equals(first, stochasticCodes(1, 0, 0, Role.INPUT, 1)));
        assertFalse(Arrays.equals(first, stochasticCodes(0, 1, 0, Role.INPUT, 1)));
        assertFalse(Arrays.equals(first, stochasticCodes(0, 0, 1, Role.INPUT, 1)));
        assertFalse(Arrays.equals(first, stochasticCodes(0, 0, 0, Role.WEIGHT, 1)));
        assertFalse(Arrays.equals(first, stochasticCodes(0, 0, 0, Role.INPUT, 2)));
    }

    private static byte[] stochasticCodes(int step, int microBatch, int ordinal, Role role, long seed) {
        BackendOptions options = BackendOptions.withSeed(seed);
        try (Backend backend = new ReferenceBackendProvider().open(options);
                Tensor x = backend.allocate("x", DType.FP32, Shape.of(8, 16), MemoryTag.SCRATCH);
                StepScope scope = backend.beginStep(new StepContext(step, microBatch, StepContext.Mode.TRAIN, 0))) {
            backend.write(x, Data.normal(9, 128));
            QuantizeSpec spec = QuantizeSpec.both(role, List.of(int8(TENSOR, Rounding.STOCHASTIC)));
            try (Quantized quantized = backend.quantization()
                    .quantize(scope, spec, new Site("s", ordinal), x, backend.allocateState(List.of()))) {
                return Session.codes(HostOperand.of(quantized.operand(Contraction.COLUMNS)), 0);
            }
        }
    }

    @Test
    void stochasticCodesAreUnbiasedThroughTheQuantizer() {
        int n = 100_000;
        float[] x = new float[n]; // [1, n]; the first makes the scale 1
        Arrays.fill(x, -2.3f);
        x[0] = 127;
        try (Session session = new Session()) {
            HostOperand operand =
                    Session.operand(session.quantize(both(TENSOR, Rounding.STOCHASTIC), x, 1, n), Contraction.COLUMNS);
            byte[] codes = Session.codes(operand, 0);
            double sum = 0;
            for (int i = 1; i < n; i++) {
                assertTrue(codes[i] == -3 || codes[i] == -2);
                sum += codes[i];
            }
            double standardError = Math.sqrt(0.3 * 0.7 / (n - 1)); // of a Bernoulli mean
            assertEquals(-2.3, sum / (n - 1), 5 * standardError);
        }
    }

    @Test
    void operandsWithDifferentPlanesAreQuantizedApart() {
        float[] x = Data.normal(5, 64);
        QuantizeSpec spec = new QuantizeSpec(
                Role.INPUT,
                List.of(
                        new OperandSpec(Contraction.ROWS, List.of(int8(TENSOR, Rounding.NEAREST_EVEN))),
                        new OperandSpec(Contraction.COLUMNS, List.of(int8(TENSOR, Rounding.STOCHASTIC)))));
        try (Session session = new Session()) {
            HostQuantized quantized = session.quantize(spec, x, 8, 8);
            HostOperand columns = Session.operand(quantized, Contraction.COLUMNS);
            HostOperand rows = Session.operand(quantized, Contraction.ROWS);
            assertNotSame(
                    columns.planes().getFirst().codes().bytes(),
                    rows.planes().getFirst().codes().bytes());
            assertNotEquals(Rounding.STOCHASTIC, rows.planes().getFirst().spec().rounding());
            byte[] nearest = Session.codes(rows, 0);
            float multiplier = 127f / Data.amax(x);
            for (int i = 0; i < 64; i++) {
                assertEquals(Rounder.nearest(x[i % 8 * 8 + i / 8] * multiplier), nearest[i]);
            }
        }
    }

    @Test
    void inputIsNotModified() {
        float[] x = Data.normal(6, 35);
        try (Session session = new Session()) {
            Tensor tensor = session.tensor(x, 5, 7);
            session.backend
                    .quantization()
                    .quantize(session.scope, both(ROW, Rounding.STOCHASTIC), Session.SITE, tensor, session.state())
                    .close();
            assertArrayEquals(x, HostTensor.floats(tensor));
        }
    }

    @Test
    void leadingExtentsAreFlattened() {
        float[] x = Data.normal(7, 24);
        try (Session session = new Session()) {
            Tensor tensor = session.tensor(x, 2, 3, 4);
            try (Quantized quantized = session.backend
                    .quantization()
                    .quantize(session.scope, both(ROW, Rounding.NEAREST_EVEN), Session.SITE, tensor, session.state())) {
                assertEquals(6, quantized.operand(Contraction.COLUMNS).rows());
                assertEquals(4, quantized.operand(Contraction.COLUMNS).k());
            }
        }
    }

    @Test
    void emptyTensorIsRejected() {
        try (Session session = new Session()) {
            IllegalArgumentException e = assertThrows(
                    IllegalArgumentException.class,
                    () -> session.quantize(both(ROW, Rounding.NEAREST_EVEN), new float[0], 0, 5));
            assertEquals(
                    "x [0, 5] of layer blocks.0.mlp.down is empty, but at least one element is needed", e.getMessage());
        }
    }

    @Test
    void whatAHostBackendCannotDoIsRejected() {
        List<PlaneSpec> unsupported = List.of(
                PlaneSpec.value(DType.E5M2, TENSOR, new ScaleRule.TopOverAmax(false), Rounding.STOCHASTIC_LOG),
                PlaneSpec.value(DType.BF16, TENSOR, new ScaleRule.Unit(), Rounding.STOCHASTIC),
                PlaneSpec.value(DType.BF16, TENSOR, new ScaleRule.AmaxOverTop(), Rounding.NEAREST_EVEN));
        try (Session session = new Session()) {
            for (PlaneSpec plane : unsupported) {
                QuantizeSpec spec = QuantizeSpec.both(Role.INPUT, List.of(plane));
                assertThrows(IllegalArgumentException.class, () -> session.quantize(spec, new float[] {1}, 1, 1));
            }
        }
    }
}
