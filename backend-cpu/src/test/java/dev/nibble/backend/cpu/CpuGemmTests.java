package dev.nibble.backend.cpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.gemm.Epilogue;
import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Product;
import dev.nibble.gemm.Term;
import dev.nibble.host.HostOperand;
import dev.nibble.host.HostTensor;
import dev.nibble.quant.Contraction;
import dev.nibble.quant.Granularity;
import dev.nibble.quant.OperandSpec;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.report.ExecutionRow;
import dev.nibble.spi.GemmBackend;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Role;
import dev.nibble.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Products equal the plain code's, bit for bit, for any operand format and any number of threads. */
class CpuGemmTests {
    private static final Granularity TENSOR = new Granularity.PerTensor();
    private static final Granularity ROW = new Granularity.PerRow();
    private static final Granularity BLOCK = new Granularity.PerBlock(128, 128);

    private static final int[][] SIZES = { // M, N, K
        {1, 1, 1},
        {1, 13, 129},
        {13, 1, 127},
        {127, 129, 13},
        {129, 127, 257},
        {8, 32, 256},
        {9, 33, 300},
        {16, 16, 1100}
    };

    /** Planes of the two sides. */
    record Pair(PlaneSpec a, PlaneSpec b) {
        @Override
        public String toString() {
            return a.format() + " " + a.granularity() + " x " + b.format() + " " + b.granularity();
        }
    }

    private static List<Pair> pairs() {
        List<Pair> pairs = new ArrayList<>();
        List<DType> floats = List.of(DType.FP32, DType.BF16, DType.FP16);
        for (DType a : floats) {
            for (DType b : floats) {
                pairs.add(new Pair(PlaneSpec.unscaled(a), PlaneSpec.unscaled(b)));
            }
        }
        List<Granularity> granularities = List.of(
                TENSOR,
                ROW,
                BLOCK,
                new Granularity.PerBlock(128, 256),
                new Granularity.PerBlock(32, 32),
                new Granularity.PerBlock(1, 128),
                new Granularity.PerBlock(3, 5));
        for (Granularity a : granularities) {
            for (Granularity b : granularities) {
                pairs.add(new Pair(Fixture.int8(a), Fixture.int8(b)));
            }
        }
        for (Granularity granularity : List.of(TENSOR, ROW, BLOCK, new Granularity.PerBlock(1, 128))) {
            pairs.add(new Pair(Fixture.fp8(DType.E4M3, granularity), Fixture.fp8(DType.E4M3, granularity)));
            pairs.add(new Pair(Fixture.fp8(DType.E5M2, granularity), Fixture.fp8(DType.E4M3, BLOCK)));
        }
        pairs.add(new Pair(PlaneSpec.unscaled(DType.E4M3), Fixture.fp8(DType.E5M2, ROW)));
        return pairs;
    }

    @ParameterizedTest
    @MethodSource("pairs")
    void productEqualsThePlainCode(Pair pair) {
        for (int threads = 1; threads <= 3; threads++) {
            try (Fixture fixture = new Fixture(threads)) {
                for (int[] size : SIZES) {
                    for (Product product : Product.values()) {
                        OperandSpec a = Fixture.spec(product.contractionA(), pair.a());
                        OperandSpec b = Fixture.spec(product.contractionB(), pair.b());
                        Epilogue epilogue = size[0] % 2 == 0 ? Epilogue.ADD : Epilogue.STORE;
                        assertEqualToPlain(fixture, fixture.gemm, GemmSpec.of(product, epilogue), a, b, size);
                    }
                }
            }
        }
    }

    @Test
    void floatsOfFewRowsAndManyColumnsEqualThePlainCode() {
        // Several areas of eight panels, groups of 256, and the last and first number of rows of either way to pack.
        int[][] sizes = {{1, 600, 300}, {33, 321, 17}, {127, 129, 513}, {256, 290, 128}, {257, 290, 40}};
        for (int threads = 1; threads <= 2; threads++) {
            try (Fixture fixture = new Fixture(threads)) {
                for (DType format : List.of(DType.FP32, DType.BF16)) {
                    for (Product product : Product.values()) {
                        PlaneSpec plane = PlaneSpec.unscaled(format);
                        OperandSpec a = Fixture.spec(product.contractionA(), plane);
                        OperandSpec b = Fixture.spec(product.contractionB(), plane);
                        for (int[] size : sizes) {
                            GemmSpec spec = GemmSpec.of(product, size[0] % 2 == 0 ? Epilogue.ADD : Epilogue.STORE);
                            assertEqualToPlain(fixture, fixture.gemm, spec, a, b, size);
                        }
                    }
                }
            }
        }
    }

    /** Where the product is -0, because it is too small for a float, the sum with +0 is +0. */
    @Test
    void aProductAddedToZerosThatAreNotWrittenEqualsThePlainCode() {
        int[] size = {45, 70, 300};
        float[] left = Fixture.normal(size[2] * size[0], 3); // [K, M]
        float[] right = Fixture.normal(size[2] * size[1], 4); // [K, N]
        for (int k = 0; k < size[2]; k++) {
            left[k * size[0] + 7] = -0x1p-80f;
            right[k * size[1] + 9] = 0x1p-80f;
        }
        for (PlaneSpec plane :
                List.of(PlaneSpec.unscaled(DType.FP32), Fixture.int8(BLOCK), Fixture.fp8(DType.E4M3, ROW))) {
            OperandSpec operand = Fixture.spec(Contraction.ROWS, plane);
            GemmSpec spec = GemmSpec.of(Product.GRAD_WEIGHT, Epilogue.ADD);
            try (Fixture fixture = new Fixture(1);
                    Workers workers = new Workers(2)) {
                HostOperand a = fixture.operand(Role.GRAD_OUTPUT, operand, fixture.tensor(size[2], size[0], left));
                HostOperand b = fixture.operand(Role.INPUT, operand, fixture.tensor(size[2], size[1], right));
                Tensor expected = fixture.zeros(size[0], size[1]);
                fixture.plainGemm.multiply(fixture.scope, spec, Fixture.SITE, a, b, expected);
                for (NativeKernels kernels : AllPaths.kernels()) {
                    float[] nan = new float[size[0] * size[1]]; // [M, N]
                    Arrays.fill(nan, Float.NaN);
                    HostTensor d = HostTensor.of(fixture.tensor(size[0], size[1], nan));
                    d.zeroLater();
                    try (CpuGemm gemm = new CpuGemm(fixture.runtime, workers, Optional.of(kernels))) {
                        gemm.multiply(fixture.scope, spec, Fixture.SITE, a, b, d);
                    }
                    Fixture.assertSameBits(
                            HostTensor.floats(expected), HostTensor.floats(d), plane + " " + kernels.level().label);
                }
            }
        }
    }

    @Test
    void longWeightGradientIsSummedInParts() {
        int[] size = {40, 70, 4500};
        try (Fixture fixture = new Fixture(2)) {
            for (PlaneSpec plane : List.of(
                    PlaneSpec.unscaled(DType.FP32),
                    Fixture.int8(BLOCK),
                    Fixture.int8(ROW),
                    Fixture.fp8(DType.E4M3, ROW))) {
                OperandSpec operand = Fixture.spec(Contraction.ROWS, plane);
                for (Epilogue epilogue : Epilogue.values()) {
                    GemmSpec spec = GemmSpec.of(Product.GRAD_WEIGHT, epilogue);
                    assertEqualToPlain(fixture, fixture.gemm, spec, operand, operand, size);
                }
            }
        }
    }

    @Test
    void residualPlanesEqualThePlainCode() {
        List<Term> bothOfA = List.of(new Term(0, 0), new Term(1, 0));
        List<Term> bothOfB = List.of(new Term(0, 0), new Term(0, 1));
        for (Granularity granularity : List.of(BLOCK, new Granularity.PerBlock(4, 8), ROW, TENSOR)) {
            for (PlaneSpec plane : List.of(Fixture.int8(granularity), Fixture.fp8(DType.E4M3, granularity))) {
                try (Fixture fixture = new Fixture(2)) {
                    for (int[] size : new int[][] {{129, 130, 257}, {13, 40, 127}, {300, 33, 600}}) {
                        GemmSpec output = new GemmSpec(Product.OUTPUT, bothOfA, Epilogue.STORE);
                        OperandSpec columns = Fixture.withResidual(Contraction.COLUMNS, plane);
                        OperandSpec plain = Fixture.spec(Contraction.COLUMNS, plane);
                        assertEqualToPlain(fixture, fixture.gemm, output, columns, plain, size);
                        GemmSpec gradWeight = new GemmSpec(Product.GRAD_WEIGHT, bothOfB, Epilogue.ADD);
                        OperandSpec rows = Fixture.withResidual(Contraction.ROWS, plane);
                        OperandSpec plainRows = Fixture.spec(Contraction.ROWS, plane);
                        assertEqualToPlain(fixture, fixture.gemm, gradWeight, plainRows, rows, size);
                    }
                }
            }
        }
    }

    @Test
    void absentBlocksAddNoTermWhereTheOtherScaleIsNan() {
        PlaneSpec plane = Fixture.int8(new Granularity.PerBlock(4, 8));
        float[] wide = Fixture.normal(24 * 64, 1);
        float[] notFinite = Fixture.normal(40 * 64, 2);
        for (int k = 1; k < 64; k += 8) {
            notFinite[k] = Float.NaN; // every block of rows 0..3
        }
        try (Fixture fixture = new Fixture(1)) {
            HostOperand a = fixture.operand(
                    Product.OUTPUT.roleA(),
                    Fixture.withResidual(Contraction.COLUMNS, plane),
                    fixture.tensor(24, 64, wide));
            HostOperand b = fixture.operand(
                    Product.OUTPUT.roleB(),
                    Fixture.spec(Contraction.COLUMNS, plane),
                    fixture.tensor(40, 64, notFinite));
            // The residual alone: only a flagged block may turn NaN.
            GemmSpec spec = new GemmSpec(Product.OUTPUT, List.of(new Term(1, 0)), Epilogue.STORE);
            float[] actual = assertEqualToPlain(fixture, fixture.gemm, spec, a, b);
            int nan = 0;
            for (float value : actual) {
                nan += Float.isNaN(value) ? 1 : 0;
            }
            assertTrue(nan > 0 && nan < actual.length, nan + " values are NaN");
        }
    }

    @Test
    void nanScaleGivesNan() {
        float[] values = Fixture.normal(16 * 256, 3);
        values[5] = Float.POSITIVE_INFINITY;
        for (PlaneSpec plane : List.of(Fixture.int8(BLOCK), Fixture.int8(ROW), Fixture.int8(TENSOR))) {
            try (Fixture fixture = new Fixture(1)) {
                OperandSpec spec = Fixture.spec(Contraction.COLUMNS, plane);
                HostOperand a = fixture.operand(Product.OUTPUT.roleA(), spec, fixture.tensor(16, 256, values));
                HostOperand b = fixture.operand(
                        Product.OUTPUT.roleB(), spec, fixture.tensor(3, 256, Fixture.normal(3 * 256, 4)));
                GemmSpec gemm = GemmSpec.of(Product.OUTPUT, Epilogue.STORE);
                assertTrue(Float.isNaN(assertEqualToPlain(fixture, fixture.gemm, gemm, a, b)[0]), plane.toString());
            }
        }
    }

    @Test
    void specialValuesEqualThePlainCode() {
        float[] special = {0f, -0f, Float.MIN_VALUE, -0x1p-130f, Float.MAX_VALUE, Float.NaN, Float.NEGATIVE_INFINITY};
        float[] values = Fixture.normal(29 * 70, 6);
        for (int i = 0; i < values.length; i += 31) {
            values[i] = special[i / 31 % special.length];
        }
        for (Pair pair : pairs()) {
            try (Fixture fixture = new Fixture(2)) {
                HostOperand a = fixture.operand(
                        Product.OUTPUT.roleA(),
                        Fixture.spec(Contraction.COLUMNS, pair.a()),
                        fixture.tensor(29, 70, values));
                HostOperand b = fixture.operand(
                        Product.OUTPUT.roleB(),
                        Fixture.spec(Contraction.COLUMNS, pair.b()),
                        fixture.tensor(35, 70, Fixture.normal(35 * 70, 8)));
                assertEqualToPlain(fixture, fixture.gemm, GemmSpec.of(Product.OUTPUT, Epilogue.STORE), a, b);
            }
        }
    }

    @Test
    void operandsLargerThanThePackLimitAreCut() {
        try (Fixture fixture = new Fixture(2)) {
            GemmBackend gemm = fixture.gemmWithPackLimit(128 * 70);
            for (PlaneSpec plane : List.of(PlaneSpec.unscaled(DType.FP32), Fixture.int8(BLOCK), Fixture.int8(ROW))) {
                for (Product product : Product.values()) {
                    OperandSpec a = Fixture.spec(product.contractionA(), plane);
                    OperandSpec b = Fixture.spec(product.contractionB(), plane);
                    GemmSpec spec = GemmSpec.of(product, Epilogue.ADD);
                    assertEqualToPlain(fixture, gemm, spec, a, b, new int[] {300, 290, 70});
                    assertEqualToPlain(fixture, gemm, spec, a, b, new int[] {140, 130, 500});
                }
            }
        }
    }

    @Test
    void productOfLengthZeroIsZero() {
        // A quantized operand is never empty, but an unscaled one can be made by hand.
        try (Fixture fixture = new Fixture(1)) {
            OperandSpec spec = Fixture.spec(Contraction.COLUMNS, PlaneSpec.unscaled(DType.FP32));
            HostOperand full =
                    fixture.operand(Product.OUTPUT.roleA(), spec, fixture.tensor(3, 5, Fixture.normal(15, 1)));
            HostOperand empty = new HostOperand(spec, 3, 0, full.planes());
            Tensor d = fixture.tensor(3, 3, Fixture.normal(9, 2));
            fixture.gemm.multiply(
                    fixture.scope, GemmSpec.of(Product.OUTPUT, Epilogue.STORE), Fixture.SITE, empty, empty, d);
            Fixture.assertSameBits(new float[9], HostTensor.floats(d), "product");
        }
    }

    @Test
    void shapesThatDoNotFitAreRefused() {
        try (Fixture fixture = new Fixture(1)) {
            OperandSpec spec = Fixture.spec(Contraction.COLUMNS, Fixture.int8(ROW));
            HostOperand a = fixture.operand(Product.OUTPUT.roleA(), spec, fixture.tensor(3, 5, Fixture.normal(15, 1)));
            HostOperand b = fixture.operand(Product.OUTPUT.roleB(), spec, fixture.tensor(4, 6, Fixture.normal(24, 1)));
            GemmSpec gemm = GemmSpec.of(Product.OUTPUT, Epilogue.STORE);
            Tensor d = fixture.zeros(3, 4);
            var e = assertThrows(
                    IllegalArgumentException.class,
                    () -> fixture.gemm.multiply(fixture.scope, gemm, Fixture.SITE, a, b, d));
            assertTrue(e.getMessage().contains("[3, 5]") && e.getMessage().contains("[4, 6]"), e.getMessage());
        }
    }

    @Test
    void swappingTheKernelChangesTheRow() {
        try (Fixture fixture = new Fixture(1)) {
            OperandSpec spec = Fixture.spec(Contraction.COLUMNS, Fixture.int8(BLOCK));
            HostOperand a = fixture.operand(Product.OUTPUT.roleA(), spec, fixture.tensor(3, 5, Fixture.normal(15, 1)));
            GemmSpec gemm = GemmSpec.of(Product.OUTPUT, Epilogue.STORE);
            fixture.portable.multiply(fixture.scope, gemm, Fixture.SITE, a, a, fixture.zeros(3, 3));
            fixture.plainGemm.multiply(fixture.scope, gemm, Fixture.SITE, a, a, fixture.zeros(3, 3));
            List<ExecutionRow> rows = fixture.runtime.log().rows();
            assertEquals(2, rows.size());
            assertEquals("cpu-vector-int8-block", rows.getFirst().kernel());
            assertEquals("int8 x int8", rows.getFirst().storedFormat());
            assertEquals("reference-gemm", rows.getLast().kernel());
            assertFalse(rows.getFirst().differs());
        }
    }

    @Test
    void productLeavesNoTensorOpen() {
        try (Fixture fixture = new Fixture(2)) {
            OperandSpec spec = Fixture.spec(Contraction.COLUMNS, Fixture.int8(ROW));
            HostOperand a =
                    fixture.operand(Product.OUTPUT.roleA(), spec, fixture.tensor(40, 600, Fixture.normal(24000, 1)));
            Tensor d = fixture.zeros(40, 40);
            long before = fixture.runtime.memory().openTensors();
            fixture.gemm.multiply(fixture.scope, GemmSpec.of(Product.OUTPUT, Epilogue.STORE), Fixture.SITE, a, a, d);
            assertEquals(before, fixture.runtime.memory().openTensors());
        }
    }

    private static void assertEqualToPlain(
            Fixture fixture, GemmBackend gemm, GemmSpec spec, OperandSpec a, OperandSpec b, int[] size) {
        int m = size[0];
        int n = size[1];
        int k = size[2];
        float[] valuesA = Fixture.normal(m * k, 100 + m);
        float[] valuesB = Fixture.normal(n * k, 200 + n);
        Tensor x =
                a.contraction() == Contraction.COLUMNS ? fixture.tensor(m, k, valuesA) : fixture.tensor(k, m, valuesA);
        Tensor y =
                b.contraction() == Contraction.COLUMNS ? fixture.tensor(n, k, valuesB) : fixture.tensor(k, n, valuesB);
        HostOperand left = fixture.operand(spec.product().roleA(), a, x);
        HostOperand right = fixture.operand(spec.product().roleB(), b, y);
        assertEqualToPlain(fixture, gemm, spec, left, right);
        left.close();
        right.close();
        x.close();
        y.close();
    }

    private static float[] assertEqualToPlain(
            Fixture fixture, GemmBackend gemm, GemmSpec spec, HostOperand a, HostOperand b) {
        int m = (int) a.rows();
        int n = (int) b.rows();
        float[] before = Fixture.normal(m * n, 300);
        Tensor expected = fixture.tensor(m, n, before);
        Tensor actual = fixture.tensor(m, n, before);
        fixture.plainGemm.multiply(fixture.scope, spec, Fixture.SITE, a, b, expected);
        gemm.multiply(fixture.scope, spec, Fixture.SITE, a, b, actual);
        float[] values = HostTensor.floats(actual).clone();
        String what = "%s %s [%d, %d] x [%d, %d]".formatted(spec.product(), spec.epilogue(), m, a.k(), n, b.k());
        Fixture.assertSameBits(HostTensor.floats(expected), values, what);
        expected.close();
        actual.close();
        return values;
    }
}
