package dev.nibble.backend.cpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.gemm.Epilogue;
import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Product;
import dev.nibble.gemm.Sampling;
import dev.nibble.gemm.Term;
import dev.nibble.host.HostOperand;
import dev.nibble.host.HostTensor;
import dev.nibble.quant.Contraction;
import dev.nibble.quant.Granularity;
import dev.nibble.quant.OperandSpec;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.quant.ScaleRule;
import dev.nibble.quant.SplitMode;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Tensor;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;

/** 4-bit and exponent codes, mixed families, weighted terms and sampled rows: the bits of the plain code. */
class LowBitGemmTests {
    private static final Granularity TENSOR = new Granularity.PerTensor();
    private static final int[][] SIZES = { // M, N, K
        {1, 1, 1},
        {1, 13, 129},
        {13, 1, 127},
        {127, 129, 13},
        {129, 127, 257},
        {9, 33, 300},
        {64, 702, 128}
    };

    private static PlaneSpec plane(DType format, Rounding rounding) {
        return PlaneSpec.value(format, TENSOR, new ScaleRule.AmaxOverTop(), rounding);
    }

    private static PlaneSpec powers(DType format, int exponent) {
        return PlaneSpec.value(format, TENSOR, new ScaleRule.AmaxOverPower(exponent, false), Rounding.STOCHASTIC);
    }

    /** Sides that meet in a product; UINT4 sees negative values too, which become 0. */
    private static List<PlaneSpec> sides() {
        return List.of(
                plane(DType.INT4, Rounding.NEAREST_EVEN),
                plane(DType.UINT4, Rounding.NEAREST_EVEN),
                powers(DType.E3M0, 6),
                powers(DType.E4M0, 8),
                plane(DType.INT8, Rounding.STOCHASTIC),
                PlaneSpec.unscaled(DType.FP32),
                Fixture.fp8(DType.E4M3, TENSOR));
    }

    @Test
    void everyPairOfFormatsEqualsThePlainCode() {
        for (int threads = 1; threads <= 3; threads++) {
            try (Fixture fixture = new Fixture(threads)) {
                for (PlaneSpec a : sides()) {
                    for (PlaneSpec b : sides()) {
                        int[] size = SIZES[(a.hashCode() ^ b.hashCode()) & 3];
                        for (Product product : Product.values()) {
                            GemmSpec spec = GemmSpec.of(product, Epilogue.STORE);
                            check(fixture, spec, List.of(a), List.of(b), size, 0);
                            check(fixture, spec, List.of(a), List.of(b), SIZES[4], 0);
                        }
                    }
                }
            }
        }
    }

    @Test
    void weightedSamplesEqualThePlainCode() {
        List<Term> terms = List.of(new Term(0, 0, 0.25f, 1), new Term(1, 0, 0.75f, 3), new Term(2, 0, 0, 1));
        try (Fixture fixture = new Fixture(2)) {
            for (int[] size : SIZES) {
                GemmSpec spec = new GemmSpec(Product.GRAD_WEIGHT, terms, Epilogue.ADD);
                check(
                        fixture,
                        spec,
                        powers(DType.E3M0, 6).samples(3),
                        List.of(plane(DType.INT4, Rounding.NEAREST_EVEN)),
                        size,
                        0);
            }
        }
    }

    @Test
    void sampledRowsEqualThePlainCode() {
        List<Term> digits = List.of(new Term(0, 0), new Term(1, 0));
        for (int threads = 1; threads <= 3; threads++) {
            try (Fixture fixture = new Fixture(threads)) {
                for (int[] size : SIZES) {
                    for (Sampling sampling : Sampling.values()) {
                        for (SplitMode mode : SplitMode.values()) {
                            for (int zeroRows : new int[] {0, 5}) {
                                checkSampled(fixture, sampling, digits, PlaneSpec.digits(mode), size, zeroRows);
                            }
                        }
                    }
                }
            }
        }
    }

    private static void checkSampled(
            Fixture fixture, Sampling sampling, List<Term> terms, List<PlaneSpec> planes, int[] size, int zeroRows) {
        List<PlaneSpec> other = List.of(plane(DType.INT4, Rounding.NEAREST_EVEN));
        GemmSpec gradInput = new GemmSpec(Product.GRAD_INPUT, terms, sampling, Epilogue.STORE);
        check(fixture, gradInput, planes, other, size, zeroRows);
        GemmSpec gradWeight = new GemmSpec(Product.GRAD_WEIGHT, terms, sampling, Epilogue.ADD);
        check(fixture, gradWeight, planes, other, size, zeroRows);
    }

    @Test
    void zeroRowsAreLeftOutOfALongWeightGradientInParts() {
        List<Term> terms = List.of(new Term(0, 0), new Term(1, 0, 0.5f, 1));
        List<PlaneSpec> other = List.of(plane(DType.INT4, Rounding.NEAREST_EVEN));
        try (Fixture fixture = new Fixture(2)) {
            for (int zeroRows : new int[] {0, 1, 2600, 4499}) { // the last part has 2404 tokens
                GemmSpec spec = new GemmSpec(Product.GRAD_WEIGHT, terms, Sampling.NONZERO_ROWS, Epilogue.ADD);
                check(fixture, spec, PlaneSpec.digits(SplitMode.UNBIASED), other, new int[] {13, 33, 4500}, zeroRows);
                String kernel = fixture.runtime.log().rows().getLast().kernel();
                assertEquals(zeroRows > 0, kernel.endsWith("-int4-tensor-nonzero-rows"), kernel);
            }
        }
    }

    @Test
    void zeroRowsEnterWhereTheOtherScaleIsNotFinite() {
        try (Fixture fixture = new Fixture(1)) {
            float[] weights = Fixture.normal(13 * 7, 1);
            weights[3] = Float.NaN;
            HostOperand w = fixture.operand(
                    Product.GRAD_INPUT.roleB(),
                    Fixture.spec(Contraction.ROWS, plane(DType.INT4, Rounding.NEAREST_EVEN)),
                    fixture.tensor(13, 7, weights));
            HostOperand dy = fixture.operand(
                    Product.GRAD_INPUT.roleA(),
                    new OperandSpec(Contraction.COLUMNS, PlaneSpec.digits(SplitMode.UNBIASED)),
                    fixture.tensor(5, 13, new float[5 * 13]));
            GemmSpec spec =
                    new GemmSpec(Product.GRAD_INPUT, List.of(new Term(0, 0)), Sampling.NONZERO_ROWS, Epilogue.STORE);
            Tensor d = fixture.zeros(5, 7);
            fixture.gemm.multiply(fixture.scope, spec, Fixture.SITE, dy, w, d);
            assertTrue(Float.isNaN(HostTensor.floats(d)[0]));
        }
    }

    @Test
    void aSampledProductOfZerosIsZero() {
        try (Fixture fixture = new Fixture(1)) {
            List<Term> terms = List.of(new Term(0, 0), new Term(1, 0));
            checkSampled(fixture, Sampling.LEVERAGE, terms, PlaneSpec.digits(SplitMode.UNBIASED), SIZES[4], 1000);
        }
    }

    @Test
    void aSampledProductOfWhatIsNotFiniteIsNan() {
        try (Fixture fixture = new Fixture(1)) {
            float[] gradient = Fixture.normal(16 * 8, 1);
            gradient[127] = Float.NEGATIVE_INFINITY;
            HostOperand dy = fixture.operand(
                    Product.GRAD_INPUT.roleA(),
                    new OperandSpec(Contraction.COLUMNS, PlaneSpec.digits(SplitMode.UNBIASED)),
                    fixture.tensor(16, 8, gradient));
            HostOperand w = fixture.operand(
                    Product.GRAD_INPUT.roleB(),
                    Fixture.spec(Contraction.ROWS, plane(DType.INT4, Rounding.NEAREST_EVEN)),
                    fixture.tensor(8, 4, Fixture.normal(8 * 4, 2)));
            Tensor d = fixture.zeros(16, 4);
            List<Term> terms = List.of(new Term(0, 0), new Term(1, 0));
            fixture.gemm.multiply(
                    fixture.scope,
                    new GemmSpec(Product.GRAD_INPUT, terms, Sampling.LEVERAGE, Epilogue.STORE),
                    Fixture.SITE,
                    dy,
                    w,
                    d);
            assertTrue(Float.isNaN(HostTensor.floats(d)[0]) && Float.isNaN(HostTensor.floats(d)[63]));
        }
    }

    @Test
    void aSampledProductLeavesRowsOut() {
        try (Fixture fixture = new Fixture(2)) {
            int tokens = 128;
            float[] gradient = Fixture.normal(tokens * 64, 1);
            for (int i = 0; i < gradient.length; i++) {
                gradient[i] *= (i / 64) % 8 == 0 ? 100 : 0.3f; // most of the norm is in few rows
            }
            HostOperand dy = fixture.operand(
                    Product.GRAD_INPUT.roleA(),
                    new OperandSpec(Contraction.COLUMNS, PlaneSpec.digits(SplitMode.UNBIASED)),
                    fixture.tensor(tokens, 64, gradient));
            HostOperand w = fixture.operand(
                    Product.GRAD_INPUT.roleB(),
                    Fixture.spec(Contraction.ROWS, plane(DType.INT4, Rounding.NEAREST_EVEN)),
                    fixture.tensor(64, 32, Fixture.normal(64 * 32, 2)));
            Tensor d = fixture.zeros(tokens, 32);
            List<Term> terms = List.of(new Term(0, 0), new Term(1, 0));
            fixture.gemm.multiply(
                    fixture.scope,
                    new GemmSpec(Product.GRAD_INPUT, terms, Sampling.LEVERAGE, Epilogue.STORE),
                    Fixture.SITE,
                    dy,
                    w,
                    d);
            int zeroRows = 0;
            for (int row = 0; row < tokens; row++) {
                boolean zero = true;
                for (int col = 0; col < 32; col++) {
                    zero &= HostTensor.floats(d)[row * 32 + col] == 0;
                }
                zeroRows += zero ? 1 : 0;
            }
            assertTrue(zeroRows > 0 && zeroRows < tokens, zeroRows + " rows are left out");
            String kernel = fixture.runtime.log().rows().getLast().kernel();
            assertTrue(kernel.endsWith("-int4-tensor-sampled"), kernel);
        }
    }

    /** Compares with the plain code; the last zeroRows rows of the left tensor are 0. */
    private static void check(
            Fixture fixture,
            GemmSpec spec,
            List<PlaneSpec> planesA,
            List<PlaneSpec> planesB,
            int[] size,
            int zeroRows) {
        Product product = spec.product();
        try (Tensor x = tensor(fixture, product.contractionA(), size[0], size[2], 1, zeroRows);
                Tensor y = tensor(fixture, product.contractionB(), size[1], size[2], 2, 0);
                HostOperand a = fixture.operand(product.roleA(), new OperandSpec(product.contractionA(), planesA), x);
                HostOperand b = fixture.operand(product.roleB(), new OperandSpec(product.contractionB(), planesB), y)) {
            float[] before = Fixture.normal(size[0] * size[1], 3);
            try (Tensor expected = fixture.tensor(size[0], size[1], before);
                    Tensor actual = fixture.tensor(size[0], size[1], before)) {
                fixture.plainGemm.multiply(fixture.scope, spec, Fixture.SITE, a, b, expected);
                fixture.gemm.multiply(fixture.scope, spec, Fixture.SITE, a, b, actual);
                Fixture.assertSameBits(
                        HostTensor.floats(expected), HostTensor.floats(actual), spec + " " + a.spec() + " " + b.spec());
            }
        }
    }

    private static Tensor tensor(Fixture fixture, Contraction contraction, int rows, int k, int seed, int zeroRows) {
        boolean columns = contraction == Contraction.COLUMNS;
        int storedRows = columns ? rows : k;
        int storedCols = columns ? k : rows;
        float[] values = Fixture.normal(rows * k, 17L * seed + rows);
        for (int row = Math.max(0, storedRows - zeroRows); row < storedRows; row++) {
            Arrays.fill(values, row * storedCols, (row + 1) * storedCols, 0f);
        }
        return fixture.tensor(storedRows, storedCols, values);
    }
}
