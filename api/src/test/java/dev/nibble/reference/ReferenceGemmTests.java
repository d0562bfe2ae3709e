package dev.nibble.reference;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.gemm.Epilogue;
import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Product;
import dev.nibble.gemm.Splits;
import dev.nibble.gemm.Term;
import dev.nibble.host.HostOperand;
import dev.nibble.quant.Contraction;
import dev.nibble.quant.Granularity;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.quant.ScaleRule;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Role;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ReferenceGemmTests {
    private static final double UNIT_ROUNDOFF = 0x1p-24;
    private static final GemmSpec OUTPUT = GemmSpec.of(Product.OUTPUT, Epilogue.STORE);
    private static final GemmSpec GRAD_WEIGHT = GemmSpec.of(Product.GRAD_WEIGHT, Epilogue.STORE);
    private static final GemmSpec FALLBACK =
            new GemmSpec(Product.OUTPUT, List.of(new Term(0, 0), new Term(1, 0)), Epilogue.STORE);

    private static Granularity block(int rows, int k) {
        return new Granularity.PerBlock(rows, k);
    }

    private static PlaneSpec int8(Granularity granularity) {
        return PlaneSpec.value(DType.INT8, granularity, new ScaleRule.AmaxOverTop(), Rounding.NEAREST_EVEN);
    }

    private static PlaneSpec fp8(DType format, Granularity granularity) {
        return PlaneSpec.value(format, granularity, new ScaleRule.TopOverAmax(false), Rounding.NEAREST_EVEN);
    }

    /** Compares a product with its exact value from dequantized operands, within {@code roundings} · u · sum|ab|. */
    private static void assertClose(Session session, float[] d, HostOperand a, HostOperand b, long roundings) {
        float[] left = session.dequantize(a); // [M, K]
        float[] right = session.dequantize(b); // [N, K]
        int k = (int) a.k();
        int n = (int) b.rows();
        double gamma = roundings * UNIT_ROUNDOFF / (1 - roundings * UNIT_ROUNDOFF);
        for (int row = 0; row < a.rows(); row++) {
            for (int col = 0; col < n; col++) {
                double exact = 0;
                double absolute = 0;
                for (int i = 0; i < k; i++) {
                    double product = (double) left[row * k + i] * right[col * k + i];
                    exact += product;
                    absolute += Math.abs(product);
                }
                // A subnormal result may be off by half of the smallest float for each rounding.
                assertEquals(exact, d[row * n + col], gamma * absolute + roundings * 0x1p-150, row + ", " + col);
            }
        }
    }

    @ParameterizedTest
    @CsvSource({"1, 1, 1", "13, 127, 129", "127, 13, 128", "3, 2, 702", "129, 1, 207"})
    void floatProductsAreWithinTheBoundOfAChain(int m, int n, int k) {
        for (DType format : List.of(DType.FP32, DType.BF16, DType.FP16)) {
            try (Session session = new Session()) {
                HostOperand a = session.columns(Data.normal(1, m * k), m, k, PlaneSpec.unscaled(format));
                HostOperand b = session.columns(Data.normal(2, n * k), n, k, PlaneSpec.unscaled(format));
                assertClose(session, session.multiply(OUTPUT, a, b), a, b, k);
            }
        }
    }

    @ParameterizedTest
    @CsvSource({"1, 1, 1", "13, 127, 129", "127, 13, 128", "3, 2, 702"})
    void scaledProductsAreWithinTheBoundOfTheirSegments(int m, int n, int k) {
        // Dequantizing rounds twice for each operand; a segment rounds f, (float) P, its chain, and one fma.
        for (Granularity granularity :
                List.of(new Granularity.PerTensor(), new Granularity.PerRow(), block(1, 128), block(16, 32))) {
            long segments = Math.ceilDiv(k, granularity.groupK(k));
            try (Session session = new Session()) {
                HostOperand a = session.columns(Data.normal(3, m * k), m, k, int8(granularity));
                HostOperand b = session.columns(Data.normal(4, n * k), n, k, int8(granularity));
                assertClose(session, session.multiply(OUTPUT, a, b), a, b, segments + 2 + 4);
                HostOperand c = session.columns(Data.normal(5, m * k), m, k, fp8(DType.E4M3, granularity));
                HostOperand d = session.columns(Data.normal(6, n * k), n, k, fp8(DType.E5M2, granularity));
                long chains = segments + Math.ceilDiv(k, 128);
                assertClose(session, session.multiply(OUTPUT, c, d), c, d, 128 + chains + 2 + 4);
            }
        }
    }

    @ParameterizedTest
    @CsvSource({"-1", "4", "Infinity"})
    void everySumHasTheOrderOfTheSpecification(float threshold) {
        int m = 13;
        int n = 29;
        int k = 129;
        int size = 16;
        float[] x = Data.withOutliers(7, m * k, 300);
        float[] w = Data.normal(8, n * k);
        try (Session session = new Session()) {
            HostOperand a = session.fallback(x, m, k, size, threshold);
            HostOperand b = session.columns(w, n, k, int8(block(24, 48)));
            float[] d = session.multiply(FALLBACK, a, b);
            List<byte[]> codesA = List.of(Session.codes(a, 0), Session.codes(a, 1));
            byte[] codesB = Session.codes(b, 0);
            for (int row = 0; row < m; row++) {
                for (int col = 0; col < n; col++) {
                    float acc = 0;
                    for (int from = 0; from < k; from += size) { // 48 is a multiple of 16: these are the segments
                        for (int plane = 0; plane < 2; plane++) {
                            int group = from / size; // one row group: m is below 16
                            if (plane == 1 && Session.mask(a, 1)[group] == 0) {
                                continue;
                            }
                            long exact = 0;
                            for (int i = from; i < Math.min(k, from + size); i++) {
                                exact += codesA.get(plane)[row * k + i] * codesB[col * k + i];
                            }
                            float scaleB = Session.scales(b, 0)[from / 48 * 2 + col / 24];
                            acc = Math.fma(Session.scales(a, plane)[group] * scaleB, (float) exact, acc);
                        }
                    }
                    assertEquals(acc, d[row * n + col], row + ", " + col);
                }
            }
        }
    }

    @Test
    void segmentsAreAddedAscending() {
        // Scales 2^24, 1, 2^24: 16129·2^24 + 16129 rounds to a multiple of 2^14, so the order shows.
        float[] x = {0x1p24f * 127, 127, -0x1p24f * 127};
        float[] ones = {127, 127, 127};
        try (Session session = new Session()) {
            HostOperand a = session.columns(x, 1, 3, int8(block(1, 1)));
            HostOperand b = session.columns(ones, 1, 3, int8(new Granularity.PerTensor()));
            assertArrayEquals(new float[] {16384}, session.multiply(OUTPUT, a, b));
            float[] reordered = {0x1p24f * 127, -0x1p24f * 127, 127};
            HostOperand c = session.columns(reordered, 1, 3, int8(block(1, 1)));
            assertArrayEquals(new float[] {16129}, session.multiply(OUTPUT, c, b));
        }
    }

    @Test
    void floatsAreOneChainThroughTheWholeContraction() {
        try (Session session = new Session()) {
            PlaneSpec plane = PlaneSpec.unscaled(DType.FP32);
            HostOperand a = session.columns(new float[] {0x1p24f, 1, -0x1p24f}, 1, 3, plane);
            HostOperand b = session.columns(new float[] {1, 1, 1}, 1, 3, plane);
            assertArrayEquals(new float[] {0}, session.multiply(OUTPUT, a, b)); // 2^24 + 1 is a tie to 2^24
            // Fused: 4097² = 2^24 + 2^13 + 1 is not a float, and its last bit survives the subtraction.
            HostOperand c = session.columns(new float[] {-1, 4097}, 1, 2, plane);
            HostOperand d = session.columns(new float[] {0x1p24f + 0x1p13f, 4097}, 1, 2, plane);
            assertArrayEquals(new float[] {1}, session.multiply(OUTPUT, c, d));
        }
    }

    @Test
    void fp8ChainsStartAnewAfter128() {
        int k = 131;
        float[] x = new float[k];
        float[] y = new float[k];
        x[0] = 1;
        y[0] = 32;
        x[128] = 0x1p15f;
        y[128] = 0x1p15f;
        x[130] = -0x1p15f;
        y[130] = 0x1p15f;
        try (Session session = new Session()) {
            PlaneSpec plane = PlaneSpec.unscaled(DType.E5M2);
            HostOperand a = session.columns(x, 1, k, plane);
            HostOperand b = session.columns(y, 1, k, plane);
            // The second chain is 2^30 - 2^30 = 0. In one chain 32 + 2^30 would round to 2^30 and leave 0.
            assertArrayEquals(new float[] {32}, session.multiply(OUTPUT, a, b));
            // Moved into the first chain, they do meet.
            x[127] = x[128];
            y[127] = y[128];
            x[126] = x[130];
            y[126] = y[130];
            x[128] = 0;
            x[130] = 0;
            HostOperand c = session.columns(x, 1, k, plane);
            HostOperand d = session.columns(y, 1, k, plane);
            assertArrayEquals(new float[] {0}, session.multiply(OUTPUT, c, d));
        }
    }

    @Test
    void weightGradientIsSplitIntoFixedParts() {
        int k = 4096;
        assertEquals(new Splits(2, 2048), Splits.of(Product.GRAD_WEIGHT, 1, 1, k));
        float[] x = new float[k];
        float[] ones = new float[k];
        Arrays.fill(ones, 1);
        x[0] = 0x1p24f;
        x[2048] = 1;
        x[2049] = -0x1p24f;
        try (Session session = new Session()) {
            PlaneSpec plane = PlaneSpec.unscaled(DType.FP32);
            HostOperand a = session.columns(x, 1, k, plane);
            HostOperand b = session.columns(ones, 1, k, plane);
            assertArrayEquals(new float[] {0}, session.multiply(OUTPUT, a, b));
            assertArrayEquals(new float[] {1}, session.multiply(GRAD_WEIGHT, a, b)); // 2^24 + (1 - 2^24)
        }
    }

    @Test
    void splitIntegerProductsHaveTheOrderOfTheirParts() {
        int k = 4100; // parts of 2304 and 1796, the second ragged
        int m = 2;
        int n = 3;
        Splits splits = Splits.of(Product.GRAD_WEIGHT, m, n, k);
        assertEquals(new Splits(2, 2304), splits);
        try (Session session = new Session()) {
            HostOperand a = session.columns(Data.normal(9, m * k), m, k, int8(block(128, 128)));
            HostOperand b = session.columns(Data.normal(10, n * k), n, k, int8(block(128, 128)));
            float[] d = session.multiply(GRAD_WEIGHT, a, b);
            byte[] codesA = Session.codes(a, 0);
            byte[] codesB = Session.codes(b, 0);
            for (int i = 0; i < m * n; i++) {
                float[] parts = new float[2]; // [part]
                for (int part = 0; part < 2; part++) {
                    for (int from = part * 2304; from < (part == 0 ? 2304 : k); from += 128) {
                        int exact = 0;
                        for (int at = from; at < Math.min(k, from + 128); at++) {
                            exact += codesA[i / n * k + at] * codesB[i % n * k + at];
                        }
                        float scale = Session.scales(a, 0)[from / 128] * Session.scales(b, 0)[from / 128];
                        parts[part] = Math.fma(scale, (float) exact, parts[part]);
                    }
                }
                assertEquals(parts[0] + parts[1], d[i]);
            }
        }
    }

    @Test
    void withoutFlaggedBlocksFallbackIsThePlainProduct() {
        float[] x = Data.withOutliers(11, 40 * 70, 200);
        float[] w = Data.normal(12, 20 * 70);
        try (Session session = new Session()) {
            HostOperand b = session.columns(w, 20, 70, int8(block(16, 16)));
            HostOperand none = session.fallback(x, 40, 70, 16, Float.POSITIVE_INFINITY);
            HostOperand all = session.fallback(x, 40, 70, 16, -1);
            HostOperand plain = session.columns(x, 40, 70, int8(block(16, 16)));
            float[] expected = session.multiply(OUTPUT, plain, b);
            assertArrayEquals(expected, session.multiply(FALLBACK, none, b));
            assertArrayEquals(expected, session.multiply(OUTPUT, all, b)); // plane 0 alone
            assertFalse(Arrays.equals(expected, session.multiply(FALLBACK, all, b)));
        }
    }

    @Test
    void fallbackLowersTheError() {
        int m = 64;
        int k = 256;
        float[] x = Data.withOutliers(13, m * k, 2000);
        float[] w = Data.normal(14, 32 * k);
        try (Session session = new Session()) {
            PlaneSpec exact = PlaneSpec.unscaled(DType.FP32);
            float[] truth = session.multiply(OUTPUT, session.columns(x, m, k, exact), session.columns(w, 32, k, exact));
            HostOperand b = session.columns(w, 32, k, int8(block(32, 32)));
            double plain = error(truth, session.multiply(FALLBACK, session.fallback(x, m, k, 32, 1e9f), b));
            double some = error(truth, session.multiply(FALLBACK, session.fallback(x, m, k, 32, 10), b));
            double all = error(truth, session.multiply(FALLBACK, session.fallback(x, m, k, 32, -1), b));
            assertTrue(some < plain && all < some, plain + " " + some + " " + all);
        }
    }

    private static double error(float[] truth, float[] d) {
        double sum = 0;
        for (int i = 0; i < d.length; i++) {
            sum += Math.pow(d[i] - truth[i], 2);
        }
        return sum;
    }

    @Test
    void absentBlockAddsNoTerm() {
        GemmSpec residualAlone = new GemmSpec(Product.OUTPUT, List.of(new Term(1, 0)), Epilogue.STORE);
        try (Session session = new Session()) {
            HostOperand a = session.fallback(new float[] {0.3f, 5.3f}, 1, 2, 1, 1); // blocks: absent, present
            // 0 · NaN would be NaN: the first block of B shows whether the term is added.
            HostOperand b = session.columns(new float[] {Float.NaN, 2}, 1, 2, int8(block(1, 1)));
            float[] d = session.multiply(residualAlone, a, b);
            float scale = Session.scales(a, 1)[1] * Session.scales(b, 0)[1];
            assertArrayEquals(new float[] {scale * (Session.codes(a, 1)[1] * 127)}, d);
            assertArrayEquals(new float[] {Float.NaN}, session.multiply(FALLBACK, a, b)); // plane 0 meets it
            GemmSpec mirrored = new GemmSpec(Product.OUTPUT, List.of(new Term(0, 1)), Epilogue.STORE);
            assertArrayEquals(d, session.multiply(mirrored, b, a));
        }
    }

    @Test
    void addKeepsWhatWasThere() {
        try (Session session = new Session()) {
            PlaneSpec plane = PlaneSpec.unscaled(DType.BF16);
            HostOperand a = session.columns(new float[] {1, 2, 3, 4}, 2, 2, plane);
            HostOperand b = session.columns(new float[] {1, 1}, 1, 2, plane);
            GemmSpec add = GemmSpec.of(Product.GRAD_WEIGHT, Epilogue.ADD);
            assertArrayEquals(new float[] {13, 27}, session.multiply(add, a, b, new float[] {10, 20}));
            assertArrayEquals(new float[] {3, 7}, session.multiply(OUTPUT, a, b, new float[] {10, 20}));
        }
    }

    @Test
    void transposedStorageGivesTheSameProduct() {
        int tokens = 37;
        int in = 13;
        int out = 29;
        float[] x = Data.normal(15, tokens * in);
        float[] dy = Data.normal(16, tokens * out);
        for (PlaneSpec plane : List.of(
                PlaneSpec.unscaled(DType.FP32), int8(block(16, 16)), fp8(DType.E4M3, new Granularity.PerTensor()))) {
            try (Session session = new Session()) {
                QuantizeSpec spec = QuantizeSpec.both(Role.INPUT, List.of(plane));
                HostOperand a = Session.operand(session.quantize(spec, dy, tokens, out), Contraction.ROWS);
                HostOperand b = Session.operand(session.quantize(spec, x, tokens, in), Contraction.ROWS);
                assertTrue(a.planes().getFirst().transposed());
                float[] direct = session.multiply(
                        GRAD_WEIGHT,
                        session.columns(Data.transpose(dy, tokens, out), out, tokens, plane),
                        session.columns(Data.transpose(x, tokens, in), in, tokens, plane));
                assertArrayEquals(direct, session.multiply(GRAD_WEIGHT, a, b));
            }
        }
    }
}
