package dev.nibble.backend.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import dev.nibble.gemm.Epilogue;
import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Product;
import dev.nibble.gemm.Sampling;
import dev.nibble.gemm.Term;
import dev.nibble.host.HostOperand;
import dev.nibble.host.HostTensor;
import dev.nibble.quant.Granularity;
import dev.nibble.quant.PlaneSource;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.quant.Threshold;
import dev.nibble.spi.Backend;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import dev.nibble.testkit.data.Bits;
import dev.nibble.testkit.data.Matrix;
import dev.nibble.testkit.data.ProductTable;
import dev.nibble.testkit.data.SpecTable;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/**
 * Products of operands that the plain code made equal the plain code's: integer codes and FP32 bit for bit, what the tensor cores
 * sum in their own order within the bound of docs/numerics.md.
 */
class CudaGemmTests {
    private static final Site SITE = ProductDuel.SITE;
    private static final StepContext CONTEXT = ProductDuel.CONTEXT;
    private static final int[][] SIZES = { // M, N, K
        {1, 1, 1},
        {1, 13, 129},
        {13, 127, 128},
        {127, 129, 13},
        {129, 128, 702},
        {9, 14, 4500}
    };
    private static final double U = 0x1p-24;
    private static final int LITTLE_SHARED = 99 * 1024; // bytes that a block of compute capability 8.6 or 8.9 has

    // A tensor core of sm_90 aligns 32 products and the sum so far to the largest of them and keeps 13 bits behind it
    // (arXiv:2412.19437; NVIDIA documents none of this): each of the 33 loses less than 2^-13 of at most Σ|ab|, and
    // four instructions make a chain of 128.
    private static final double FP8_CHAIN = 4 * 33 * 0x1p-13;

    private ProductDuel duel;
    private CudaBackend cuda;
    private Backend plain;

    @BeforeEach
    void open() {
        cuda = Gpu.open();
        duel = new ProductDuel(cuda);
        plain = duel.plain();
    }

    @AfterEach
    void close() {
        if (duel != null) {
            duel.close();
        }
    }

    private HostOperand operand(QuantizeSpec spec, Matrix x, Product product, boolean left) {
        return duel.operand(spec, x, product, left);
    }

    private ProductDuel.Outcome multiply(
            CudaGemm gemm, GemmSpec spec, QuantizeSpec a, QuantizeSpec b, Matrix left, Matrix right) {
        return duel.multiply(gemm, spec, a, b, left, right);
    }

    private TensorCores cores() {
        return TensorCores.of(cuda.runtime());
    }

    private static Matrix left(int[] size) {
        return Matrix.normal(1, size[0], size[2], 1).map((row, _, v) -> row % 5 == 3 ? 0 : v);
    }

    private static Matrix right(int[] size) {
        return Matrix.normal(2, size[1], size[2], 0.1);
    }

    private void assertSame(ProductTable.Case product, int[] size) {
        ProductDuel.Outcome outcome = multiply(
                new CudaGemm(cuda.runtime()), product.gemm(), product.a(), product.b(), left(size), right(size));
        Bits.assertSame(
                product.label() + " %d x %d x %d".formatted(size[0], size[1], size[2]),
                outcome.expected(),
                outcome.actual());
    }

    private static boolean inOrder(ProductTable.Case product, int[] size) {
        boolean integers = product.a().operand(product.gemm().product().contractionA()).planes().stream()
                .allMatch(plane -> plane.format().family() == DType.Family.INTEGER);
        return integers || Math.min(size[0], Math.min(size[1], size[2])) < 128;
    }

    @Test
    void everyPairOfFormatsEqualsThePlainCode() {
        for (ProductTable.Case product : ProductTable.formats()) {
            for (int[] size : SIZES) {
                if (inOrder(product, size)) {
                    assertSame(product, size);
                }
            }
        }
    }

    @Test
    void everyPairOfGranularitiesEqualsThePlainCode() {
        for (ProductTable.Case product : ProductTable.granularities()) {
            for (int[] size : SIZES) {
                if (inOrder(product, size)) {
                    assertSame(product, size);
                }
            }
        }
    }

    @Test
    void residualsDigitsAndSamplesEqualThePlainCode() {
        for (ProductTable.Case product : ProductTable.severalPlanes()) {
            for (int[] size : SIZES) {
                if (inOrder(product, size)) {
                    assertSame(product, size);
                }
            }
        }
    }

    @Test
    void sampledRowsEqualThePlainCode() {
        duel.padding(0); // the draw relies on what quantization writes there
        for (ProductTable.Case product : ProductTable.sampled()) {
            for (int[] size : SIZES) {
                if (inOrder(product, size)) {
                    assertSame(product, size);
                }
            }
        }
    }

    /** Most rows are left out; each epilogue, and several tiles of what is left. */
    @Test
    void drawnRowsOfManyEqualThePlainCode() {
        duel.padding(0); // the draw relies on what quantization writes there
        int[] size = {1100, 300, 200};
        Matrix gradient =
                Matrix.normal(1, size[0], size[2], 1).map((row, _, v) -> row % 3 == 0 ? v : Math.scalb(v, -(row % 11)));
        for (ProductTable.Case product : ProductTable.sampled()) {
            GemmSpec stored = product.gemm();
            if (stored.product() == Product.GRAD_INPUT && stored.sampling() == Sampling.LEVERAGE) {
                for (Epilogue epilogue : Epilogue.values()) {
                    GemmSpec gemm = new GemmSpec(stored.product(), stored.terms(), stored.sampling(), epilogue);
                    for (int shared : new int[] {LITTLE_SHARED, Integer.MAX_VALUE}) {
                        int processors = cuda.runtime().device().processors();
                        int most = Math.min(shared, cuda.runtime().device().largestShared());
                        CudaGemm limited = new CudaGemm(cuda.runtime(), processors, most, cores());
                        ProductDuel.Outcome outcome =
                                multiply(limited, gemm, product.a(), product.b(), gradient, right(size));
                        Bits.assertSame(product.label() + epilogue, outcome.expected(), outcome.actual());
                    }
                }
            }
        }
    }

    @Test
    void blocksOfEveryStageEqualThePlainCode() {
        List<Granularity> granularities = List.of(
                new Granularity.PerTensor(),
                new Granularity.PerRow(),
                new Granularity.PerBlock(128, 128),
                new Granularity.PerBlock(1, 256),
                new Granularity.PerBlock(64, 64),
                new Granularity.PerBlock(16, 32),
                new Granularity.PerBlock(48, 48));
        for (Product product : Product.values()) {
            Epilogue epilogue = product == Product.GRAD_INPUT ? Epilogue.STORE : Epilogue.ADD;
            for (Granularity a : granularities) {
                for (Granularity b : granularities) {
                    QuantizeSpec left =
                            QuantizeSpec.both(product.roleA(), List.of(SpecTable.int8(a, Rounding.STOCHASTIC)));
                    QuantizeSpec right =
                            QuantizeSpec.both(product.roleB(), List.of(SpecTable.int8(b, Rounding.NEAREST_EVEN)));
                    int k = product == Product.GRAD_WEIGHT ? 4200 : 700; // in parts, or not
                    assertSame(
                            new ProductTable.Case(GemmSpec.of(product, epilogue), left, right), new int[] {130, 50, k});
                }
            }
        }
    }

    @Test
    void noAllAndSomeBlocksFallBackAsInThePlainCode() {
        List<Threshold> thresholds = List.of(
                new Threshold.ExactQuantile(1),
                new Threshold.ExactQuantile(0.6),
                new Threshold.ExactQuantile(0),
                new Threshold.Delayed("below-all"));
        for (Granularity granularity : List.of(new Granularity.PerBlock(128, 128), new Granularity.PerBlock(32, 32))) {
            for (Threshold threshold : thresholds) {
                PlaneSpec first = SpecTable.int8(granularity, Rounding.NEAREST_EVEN);
                List<PlaneSpec> planes = SpecTable.withResidual(first, new PlaneSource.Residual(threshold));
                GemmSpec output = new GemmSpec(Product.OUTPUT, List.of(new Term(0, 0), new Term(1, 0)), Epilogue.STORE);
                GemmSpec gradWeight =
                        new GemmSpec(Product.GRAD_WEIGHT, List.of(new Term(0, 0), new Term(0, 1)), Epilogue.ADD);
                QuantizeSpec both = QuantizeSpec.both(Product.OUTPUT.roleA(), planes);
                QuantizeSpec one = QuantizeSpec.both(Product.OUTPUT.roleB(), List.of(first));
                for (int[] size : new int[][] {{300, 140, 520}, {129, 127, 257}}) {
                    assertSame(new ProductTable.Case(output, both, one), size);
                    assertSame(new ProductTable.Case(gradWeight, one, both), size);
                    Matrix ties = Matrix.zeros(size[0], size[2]).map((_, _, _) -> 0.7f);
                    ProductDuel.Outcome outcome =
                            multiply(new CudaGemm(cuda.runtime()), output, both, one, ties, right(size));
                    Bits.assertSame("ties", outcome.expected(), outcome.actual());
                }
            }
        }
    }

    @Test
    void largestCodesDoNotOverflow() {
        Granularity row = new Granularity.PerRow();
        QuantizeSpec spec =
                QuantizeSpec.both(Product.OUTPUT.roleA(), List.of(SpecTable.int8(row, Rounding.NEAREST_EVEN)));
        for (int k : new int[] {131071, 131072, 131073, 300000}) {
            for (float sign : new float[] {1, -1}) {
                Matrix a = Matrix.zeros(3, k).map((_, _, _) -> 127);
                Matrix b = Matrix.zeros(5, k).map((_, _, _) -> sign * 127);
                GemmSpec gemm = GemmSpec.of(Product.OUTPUT, Epilogue.ADD);
                ProductDuel.Outcome outcome = multiply(new CudaGemm(cuda.runtime()), gemm, spec, spec, a, b);
                Bits.assertSame("K = " + k, outcome.expected(), outcome.actual());
                assertTrue(outcome.actual()[0] * sign > 127f * 127 * k * 0.99f, "element 0 is " + outcome.actual()[0]);
            }
        }
    }

    @Test
    void everyNumberOfBlocksGivesTheSameBits() {
        int shared = cuda.runtime().device().largestShared();
        List<Granularity> granularities = List.of(new Granularity.PerRow(), new Granularity.PerBlock(128, 128));
        for (Granularity granularity : granularities) {
            QuantizeSpec spec = QuantizeSpec.both(
                    Product.OUTPUT.roleA(), List.of(SpecTable.int8(granularity, Rounding.NEAREST_EVEN)));
            for (Product product : Product.values()) {
                for (int blocks : new int[] {132, 66, 7, 1}) {
                    int[] size = {702, 650, 300};
                    GemmSpec gemm = GemmSpec.of(product, Epilogue.STORE);
                    CudaGemm limited = new CudaGemm(cuda.runtime(), blocks, shared, cores());
                    ProductDuel.Outcome outcome = multiply(limited, gemm, spec, spec, left(size), right(size));
                    Bits.assertSame(blocks + " blocks", outcome.expected(), outcome.actual());
                }
            }
        }
    }

    @Test
    void microBatchesAccumulate() {
        QuantizeSpec spec = QuantizeSpec.both(
                Product.GRAD_WEIGHT.roleA(),
                List.of(SpecTable.int8(new Granularity.PerBlock(128, 128), Rounding.NEAREST_EVEN)));
        GemmSpec gemm = GemmSpec.of(Product.GRAD_WEIGHT, Epilogue.ADD);
        int[] size = {70, 130, 4500};
        try (HostOperand a = operand(spec, left(size).transposed(), Product.GRAD_WEIGHT, true);
                HostOperand b = operand(spec, right(size).transposed(), Product.GRAD_WEIGHT, false);
                CudaOperand cudaA = duel.copy(a);
                CudaOperand cudaB = duel.copy(b);
                Tensor expected = plain.allocate("d", DType.FP32, Shape.of(70, 130), MemoryTag.SCRATCH);
                Tensor actual = cuda.allocate("d", DType.FP32, Shape.of(70, 130), MemoryTag.SCRATCH)) {
            for (int microBatch = 0; microBatch < 3; microBatch++) {
                try (StepScope scope = plain.beginStep(CONTEXT)) {
                    plain.gemm().multiply(scope, gemm, SITE, a, b, expected);
                }
                try (StepScope scope = cuda.beginStep(CONTEXT)) {
                    cuda.gemm().multiply(scope, gemm, SITE, cudaA, cudaB, actual);
                }
            }
            Bits.assertSame("three micro-batches", HostTensor.floats(expected), cuda.readFloats(actual));
        }
    }

    /** Rows of D that lie behind 2^31 elements. */
    @Test
    void elementsBehindTwoToTheThirtyFirstAreRight() {
        int m = 65600;
        int n = 32800;
        int k = 16;
        for (Granularity granularity : List.of(new Granularity.PerRow(), new Granularity.PerBlock(128, 128))) {
            QuantizeSpec spec = QuantizeSpec.both(
                    Product.OUTPUT.roleA(), List.of(SpecTable.int8(granularity, Rounding.NEAREST_EVEN)));
            Matrix rows = Matrix.normal(1, m, k, 1);
            Matrix cols = Matrix.normal(2, n, k, 1);
            GemmSpec gemm = GemmSpec.of(Product.OUTPUT, Epilogue.STORE);
            float[] expected = new float[2 * n]; // the last two rows of D, [2, N]
            try (HostOperand a = operand(spec, rows, Product.OUTPUT, true);
                    HostOperand b = operand(spec, cols, Product.OUTPUT, false);
                    HostOperand last = operand(spec, lastRows(rows, 64), Product.OUTPUT, true);
                    Tensor d = plain.allocate("d", DType.FP32, Shape.of(64, n), MemoryTag.SCRATCH)) {
                try (StepScope scope = plain.beginStep(CONTEXT)) {
                    plain.gemm().multiply(scope, gemm, SITE, last, b, d);
                }
                System.arraycopy(HostTensor.floats(d), 62 * n, expected, 0, expected.length);
                assertLastRows(gemm, a, b, expected);
            }
        }
    }

    /** The last rows of a matrix: whole blocks, so that they have the same scales by themselves. */
    private static Matrix lastRows(Matrix x, int rows) {
        float[] values = new float[rows * x.cols()]; // [rows, cols]
        System.arraycopy(x.values(), (x.rows() - rows) * x.cols(), values, 0, values.length);
        return new Matrix(values, rows, x.cols());
    }

    private void assertLastRows(GemmSpec gemm, HostOperand a, HostOperand b, float[] expected) {
        try (CudaOperand cudaA = duel.copy(a);
                CudaOperand cudaB = duel.copy(b);
                Tensor d = cuda.allocate("d", DType.FP32, Shape.of(a.rows(), b.rows()), MemoryTag.SCRATCH)) {
            try (StepScope scope = cuda.beginStep(CONTEXT)) {
                cuda.gemm().multiply(scope, gemm, SITE, cudaA, cudaB, d);
            }
            float[] actual = new float[expected.length]; // [2, N]
            long at = (a.rows() * b.rows() - actual.length) * Float.BYTES;
            cuda.runtime().staging().read(CudaTensor.of(d).address() + at, actual, 0, actual.length);
            Bits.assertSame("the last rows of D", expected, actual);
        }
    }

    @Test
    void halvesAreWithinTheBoundOfOtherOrders() {
        for (DType format : List.of(DType.BF16, DType.FP16)) {
            for (Product product : Product.values()) {
                assertWithin(SpecTable.tensor(format), SpecTable.tensor(format), product, 0, "wgmma");
            }
        }
    }

    @Test
    void floatsOfEightBitsAreWithinTheBoundOfTheTensorCores() {
        List<Granularity> granularities = List.of(
                new Granularity.PerTensor(),
                new Granularity.PerRow(),
                new Granularity.PerBlock(1, 128),
                new Granularity.PerBlock(128, 128));
        for (Product product : Product.values()) {
            for (Granularity a : granularities) {
                for (Granularity b : granularities) {
                    PlaneSpec left = SpecTable.fp8(DType.E5M2, a);
                    PlaneSpec right = SpecTable.fp8(DType.E4M3, b);
                    assertWithin(left, right, product, FP8_CHAIN, "wgmma");
                    assertWithin(right, right, product, FP8_CHAIN, "wgmma");
                }
            }
        }
    }

    /** |D - the plain code's D| is within the bound, from Σ|a·b| that a product of magnitudes gives. */
    private void assertWithin(PlaneSpec a, PlaneSpec b, Product product, double chain, String kernel) {
        int[] size = {130, 130, product == Product.GRAD_WEIGHT ? 4500 : 700};
        GemmSpec gemm = GemmSpec.of(product, Epilogue.STORE);
        QuantizeSpec specA = QuantizeSpec.both(product.roleA(), List.of(a));
        QuantizeSpec specB = QuantizeSpec.both(product.roleB(), List.of(b));
        ProductDuel.Outcome outcome =
                multiply(new CudaGemm(cuda.runtime()), gemm, specA, specB, left(size), right(size));
        // Signs change neither a scale nor the magnitude of a code.
        Matrix absA = left(size).map((_, _, v) -> Math.abs(v));
        Matrix absB = right(size).map((_, _, v) -> Math.abs(v));
        float[] magnitudes = multiply(new CudaGemm(cuda.runtime()), gemm, specA, specB, absA, absB)
                .expected();
        // Both are within γ of the exact sum, with K + parts roundings at most; and the sum of magnitudes itself.
        double relative = 2 * (size[2] + 8) * U * 1.01 + chain;
        String what = "%s %s of %s x %s".formatted(product, kernel, a, b);
        int different = 0;
        for (int i = 0; i < magnitudes.length; i++) {
            double limit = relative * magnitudes[i] * (1 + relative);
            if (!(Math.abs(outcome.actual()[i] - outcome.expected()[i]) <= limit)) {
                fail("%s: element %d is %s, but must be %s within %s"
                        .formatted(what, i, outcome.actual()[i], outcome.expected()[i], limit));
            }
            different += outcome.actual()[i] == outcome.expected()[i] ? 0 : 1;
        }
        assertTrue(different > 0, what + " has the plain order's bits: not the kernel that this is about");
        boolean ran = cuda.log().rows().stream().anyMatch(row -> row.kernel().contains(kernel));
        assertTrue(ran, what + " ran " + cuda.log().rows());
    }

    @Test
    void rowsNameKernelsAndFormats() {
        Granularity row = new Granularity.PerRow();
        QuantizeSpec spec =
                QuantizeSpec.both(Product.OUTPUT.roleA(), List.of(SpecTable.int8(row, Rounding.NEAREST_EVEN)));
        multiply(
                new CudaGemm(cuda.runtime()),
                GemmSpec.of(Product.OUTPUT, Epilogue.STORE),
                spec,
                spec,
                left(SIZES[2]),
                right(SIZES[2]));
        var rows = cuda.log().rows();
        assertEquals(1, rows.size());
        assertEquals("int8 x int8", rows.getFirst().storedFormat());
        assertTrue(rows.getFirst().kernel().startsWith("cuda-int8-"), rows.toString());
        assertFalse(rows.getFirst().differs(), rows.toString());
    }

    @Test
    void misfitsAreRefusedWithBothShapes() {
        QuantizeSpec spec = QuantizeSpec.both(
                Product.OUTPUT.roleA(), List.of(SpecTable.int8(new Granularity.PerRow(), Rounding.NEAREST_EVEN)));
        GemmSpec gemm = GemmSpec.of(Product.OUTPUT, Epilogue.STORE);
        try (HostOperand a = operand(spec, Matrix.normal(1, 3, 5, 1), Product.OUTPUT, true);
                HostOperand b = operand(spec, Matrix.normal(1, 4, 6, 1), Product.OUTPUT, false);
                CudaOperand cudaA = duel.copy(a);
                CudaOperand cudaB = duel.copy(b);
                Tensor d = cuda.allocate("d", DType.FP32, Shape.of(3, 4), MemoryTag.SCRATCH);
                StepScope scope = cuda.beginStep(CONTEXT)) {
            IllegalArgumentException e = assertThrows(
                    IllegalArgumentException.class, () -> cuda.gemm().multiply(scope, gemm, SITE, cudaA, cudaB, d));
            assertTrue(e.getMessage().contains("[3, 5]") && e.getMessage().contains("[4, 6]"), e.getMessage());
        }
    }
}
