package dev.nibble.backend.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.backend.cuda.FloatWays.Way;
import dev.nibble.gemm.Epilogue;
import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Product;
import dev.nibble.gemm.Splits;
import dev.nibble.gemm.Term;
import dev.nibble.quant.Granularity;
import dev.nibble.quant.PlaneSource;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Threshold;
import dev.nibble.report.ExecutionRow;
import dev.nibble.spi.BackendOptions;
import dev.nibble.tensor.DType;
import dev.nibble.testkit.data.Bits;
import dev.nibble.testkit.data.Matrix;
import dev.nibble.testkit.data.SpecTable;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/**
 * Products of BF16, FP16 and 8-bit floats by warps, as devices without the kernels of sm_90a compute them, 8-bit floats decoded to BF16
 * and as such: within the bounds of docs/numerics.md of the plain code's.
 */
class CudaHalfProductTests {
    private static final double U = 0x1p-24;
    private static final List<DType> FP8 = List.of(DType.E4M3, DType.E5M2);
    private static final int SMALLEST = 128; // extent of what tensor cores multiply

    private FloatWays ways;

    @BeforeEach
    void open() {
        ways = new FloatWays();
    }

    @AfterEach
    void close() {
        if (ways != null) {
            ways.close();
        }
    }

    private static QuantizeSpec spec(Product product, boolean left, PlaneSpec... planes) {
        return QuantizeSpec.both(left ? product.roleA() : product.roleB(), List.of(planes));
    }

    private static Matrix left(int[] size) {
        return Matrix.normal(1, size[0], size[2], 1).map((row, _, v) -> row % 5 == 3 ? 0 : v);
    }

    private static Matrix right(int[] size) {
        return Matrix.normal(2, size[1], size[2], 0.1);
    }

    private static void assertWithin(
            Way way, GemmSpec gemm, QuantizeSpec a, QuantizeSpec b, int[] size, double relative) {
        ProductDuel.Outcome outcome = way.duel().multiply(way.gemm(), gemm, a, b, left(size), right(size));
        way.assertRan();
        String what = "%s of %s x %s, %d x %d x %d by %s"
                .formatted(
                        gemm,
                        a.operands(),
                        b.operands(),
                        size[0],
                        size[1],
                        size[2],
                        way.lastRow().kernel());
        // Signs change neither a scale nor the magnitude of a code.
        Matrix absA = left(size).map((_, _, v) -> Math.abs(v));
        Matrix absB = right(size).map((_, _, v) -> Math.abs(v));
        GemmSpec stored = new GemmSpec(gemm.product(), gemm.terms(), gemm.sampling(), Epilogue.STORE);
        float[] magnitudes =
                way.duel().multiply(way.gemm(), stored, a, b, absA, absB).expected();
        if (gemm.epilogue() == Epilogue.ADD) {
            Matrix before = Matrix.normal(4, size[0], size[1], 1);
            for (int i = 0; i < magnitudes.length; i++) {
                magnitudes[i] += Math.abs(before.values()[i]);
            }
        }
        int different = FloatWays.different(outcome, magnitudes, relative);
        assertTrue(different >= 0, what + " is beyond the bound");
        assertTrue(different > 0, what + " has the plain order's bits: not the kernel that this is about");
    }

    @Test
    void halvesAreWithinTheBound() {
        for (DType format : List.of(DType.BF16, DType.FP16)) {
            for (Product product : Product.values()) {
                int[] size = {130, 257, product == Product.GRAD_WEIGHT ? 4500 : 701};
                QuantizeSpec a = spec(product, true, SpecTable.tensor(format));
                QuantizeSpec b = spec(product, false, SpecTable.tensor(format));
                Way way = ways.halves(size[2]);
                assertWithin(
                        way,
                        GemmSpec.of(product, Epilogue.ADD),
                        a,
                        b,
                        size,
                        2 * (size[2] + 8) * U * 1.01 + way.chain());
                assertEquals(
                        "mma.sync, fp32 sums on tensor cores", way.lastRow().computeType());
            }
        }
    }

    @Test
    void floatsOfEightBitsAreWithinTheBound() {
        List<Way> both = ways.ofEightBits();
        List<Granularity> granularities = List.of(
                new Granularity.PerTensor(),
                new Granularity.PerRow(),
                new Granularity.PerBlock(1, 128),
                new Granularity.PerBlock(128, 128),
                new Granularity.PerBlock(48, 48));
        for (Product product : Product.values()) {
            Epilogue epilogue = product == Product.GRAD_INPUT ? Epilogue.STORE : Epilogue.ADD;
            for (Granularity a : granularities) {
                for (Granularity b : granularities) {
                    int[] size = {130, 140, product == Product.GRAD_WEIGHT ? 4500 : 700};
                    Splits splits = Splits.of(product, size[0], size[1], size[2]);
                    int segments = 3 * Math.ceilDiv(size[2], 48); // bounds of both blocks and of chains, at most
                    QuantizeSpec left = spec(product, true, SpecTable.fp8(DType.E5M2, a));
                    QuantizeSpec right = spec(product, false, SpecTable.fp8(DType.E4M3, b));
                    for (Way way : both) {
                        double bound = way.bound(segments, splits.parts());
                        assertWithin(way, GemmSpec.of(product, epilogue), left, right, size, bound);
                    }
                }
            }
        }
    }

    @Test
    void oddShapesAndTailsAreWithinTheBound() {
        int[][] sizes = {{128, 128, 128}, {129, 128, 129}, {128, 131, 143}, {255, 129, 191}, {300, 260, 257}};
        for (Way way : ways.ofEightBits()) {
            for (DType format : FP8) {
                for (int[] size : sizes) {
                    QuantizeSpec left = spec(Product.OUTPUT, true, SpecTable.fp8(format, new Granularity.PerRow()));
                    QuantizeSpec right =
                            spec(Product.OUTPUT, false, SpecTable.fp8(DType.E4M3, new Granularity.PerRow()));
                    assertWithin(way, GemmSpec.of(Product.OUTPUT, Epilogue.STORE), left, right, size, way.bound(3, 1));
                }
            }
        }
    }

    /** Blocks that are absent, and several terms with weights. */
    @Test
    void masksAndTermsAreWithinTheBound() {
        List<Way> both = ways.ofEightBits();
        for (Granularity granularity : List.of(new Granularity.PerBlock(128, 128), new Granularity.PerBlock(1, 32))) {
            PlaneSpec first = SpecTable.fp8(DType.E4M3, granularity);
            PlaneSource.Residual residual = new PlaneSource.Residual(new Threshold.ExactQuantile(0.6));
            PlaneSpec[] planes = SpecTable.withResidual(first, residual).toArray(PlaneSpec[]::new);
            GemmSpec gemm =
                    new GemmSpec(Product.OUTPUT, List.of(new Term(0, 0), new Term(1, 0, 1, 0.5f)), Epilogue.STORE);
            int[] size = {300, 140, 520};
            int segments = 2 * Math.ceilDiv(size[2], 32); // of both terms
            for (Way way : both) {
                assertWithin(
                        way,
                        gemm,
                        spec(Product.OUTPUT, true, planes),
                        spec(Product.OUTPUT, false, first),
                        size,
                        way.bound(segments, 1) + 2 * U); // weights
            }
        }
    }

    @Test
    void everyNumberOfBlocksGivesTheSameBits() {
        QuantizeSpec a = spec(Product.OUTPUT, true, SpecTable.fp8(DType.E5M2, new Granularity.PerBlock(1, 128)));
        QuantizeSpec b = spec(Product.OUTPUT, false, SpecTable.fp8(DType.E4M3, new Granularity.PerRow()));
        QuantizeSpec half = spec(Product.OUTPUT, true, SpecTable.tensor(DType.BF16));
        int[] size = {702, 650, 300};
        GemmSpec gemm = GemmSpec.of(Product.OUTPUT, Epilogue.STORE);
        ProductDuel duel = ways.decoding().duel();
        List<float[]> fp8 = new ArrayList<>();
        List<float[]> bf16 = new ArrayList<>();
        for (int blocks : new int[] {132, 7, 1}) {
            CudaGemm limited = FloatWays.portable(duel, blocks);
            fp8.add(duel.multiply(limited, gemm, a, b, left(size), right(size)).actual());
            bf16.add(duel.multiply(limited, gemm, half, half, left(size), right(size))
                    .actual());
        }
        for (int i = 1; i < fp8.size(); i++) {
            Bits.assertSame("8-bit floats", fp8.getFirst(), fp8.get(i));
            Bits.assertSame("halves", bf16.getFirst(), bf16.get(i));
        }
    }

    @Test
    void rowsNameTheComputeType() {
        int[] size = {SMALLEST, SMALLEST, SMALLEST};
        QuantizeSpec spec = spec(Product.OUTPUT, true, SpecTable.fp8(DType.E4M3, new Granularity.PerTensor()));
        GemmSpec gemm = GemmSpec.of(Product.OUTPUT, Epilogue.STORE);
        Way way = ways.decoding();
        way.duel().multiply(way.gemm(), gemm, spec, spec, left(size), right(size));
        ExecutionRow row = way.lastRow();
        assertEquals("cuda-e4m3-e4m3-bf16-mma", row.kernel());
        assertTrue(row.computeType().startsWith("fp8 decoded to bf16, mma.sync"), row.computeType());
        assertFalse(row.differs(), row.toString());
    }

    @Test
    void strictRunsKeepTheOrderOfThePlainCode() {
        BackendOptions strict = new BackendOptions(42, 1, true);
        try (ProductDuel other =
                new ProductDuel(UsedKernels.watched(CudaBackend.open(strict, CudaSettings.ofProperties())))) {
            int[] size = {130, 140, 700};
            QuantizeSpec a = spec(Product.OUTPUT, true, SpecTable.fp8(DType.E4M3, new Granularity.PerBlock(1, 128)));
            QuantizeSpec b = spec(Product.OUTPUT, false, SpecTable.fp8(DType.E4M3, new Granularity.PerRow()));
            GemmSpec gemm = GemmSpec.of(Product.OUTPUT, Epilogue.STORE);
            CudaGemm portable = FloatWays.portable(other, 132);
            ProductDuel.Outcome outcome = other.multiply(portable, gemm, a, b, left(size), right(size));
            Bits.assertSame("strict", outcome.expected(), outcome.actual());
            ExecutionRow row = other.cuda().log().rows().getLast();
            assertTrue(row.kernel().endsWith("fma-chains"), row.toString());
        }
    }
}
