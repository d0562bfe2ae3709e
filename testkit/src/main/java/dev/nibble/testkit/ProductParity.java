package dev.nibble.testkit;

import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.gemm.Arithmetic;
import dev.nibble.gemm.Epilogue;
import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Product;
import dev.nibble.gemm.Term;
import dev.nibble.quant.Granularity;
import dev.nibble.quant.OperandSpec;
import dev.nibble.quant.PlaneSource;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.quant.Threshold;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Role;
import dev.nibble.testkit.data.Bits;
import dev.nibble.testkit.data.Matrix;
import dev.nibble.testkit.data.ProductTable;
import dev.nibble.testkit.data.SpecTable;
import dev.nibble.testkit.data.SpecialValues;
import dev.nibble.testkit.run.Rig;
import dev.nibble.testkit.run.StoredOperand;
import java.util.List;
import java.util.function.Predicate;

/** Products equal the plain code's: integer ones bit for bit, others too or within the rounding of their order. */
final class ProductParity {
    private static final int[][] SMALL = {{13, 33, 130}, {1, 1, 1}}; // M, N, K
    private static final int[][] LARGE = {{129, 127, 257}, {9, 35, 300}};
    private static final int[] LONG = {9, 14, 4500}; // a weight gradient that is summed in parts

    private final Predicate<QuantizeSpec> refused;
    private final boolean inOrder;

    /**
     * Compares products.
     *
     * @param refused operands that the backend does not make
     * @param inOrder whether sums of floats have the order of the plain code
     */
    ProductParity(Predicate<QuantizeSpec> refused, boolean inOrder) {
        this.refused = refused;
        this.inOrder = inOrder;
    }

    void everyProduct(Duel duel) {
        for (List<ProductTable.Case> cases : List.of(
                ProductTable.formats(),
                ProductTable.granularities(),
                ProductTable.severalPlanes(),
                ProductTable.sampled())) {
            for (int i = 0; i < cases.size(); i++) {
                for (int[] size : SMALL) {
                    assertSame(duel, cases.get(i), size);
                }
                if (i % 29 == 0) {
                    assertSame(duel, cases.get(i), LARGE[i / 29 % LARGE.length]);
                }
            }
        }
    }

    void longProducts(Duel duel) {
        List<PlaneSpec> planes = List.of(
                PlaneSpec.unscaled(DType.FP32),
                SpecTable.int8(new Granularity.PerBlock(128, 128), Rounding.NEAREST_EVEN),
                SpecTable.int8(new Granularity.PerRow(), Rounding.NEAREST_EVEN),
                SpecTable.fp8(DType.E4M3, new Granularity.PerRow()));
        for (PlaneSpec plane : planes) {
            GemmSpec gemm = GemmSpec.of(Product.GRAD_WEIGHT, Epilogue.ADD);
            assertSame(
                    duel,
                    new ProductTable.Case(
                            gemm,
                            QuantizeSpec.both(Role.GRAD_OUTPUT, List.of(plane)),
                            QuantizeSpec.both(Role.INPUT, List.of(plane))),
                    LONG);
        }
    }

    private void assertSame(Duel duel, ProductTable.Case product, int[] size) {
        if (refused.test(product.a()) || refused.test(product.b())) {
            return;
        }
        GemmSpec gemm = product.gemm();
        Matrix a = Matrix.normal(1, size[0], size[2], 1).map((row, _, v) -> row % 5 == 3 ? 0 : v);
        Matrix b = Matrix.normal(2, size[1], size[2], 0.1);
        boolean columnsA = gemm.product() != Product.GRAD_WEIGHT;
        boolean columnsB = gemm.product() == Product.OUTPUT;
        Matrix x = columnsA ? a : a.transposed();
        Matrix w = columnsB ? b : b.transposed();
        Rig.Source left = new Rig.Source(product.a(), x, SpecTable.state(x.cols()));
        Rig.Source right = new Rig.Source(product.b(), w, SpecTable.state(w.cols()));
        Matrix d = Matrix.normal(4, size[0], size[1], 1);
        assertSame(duel, gemm, left, right, d, product.label() + " %d x %d x %d".formatted(size[0], size[1], size[2]));
    }

    private void assertSame(Duel duel, GemmSpec gemm, Rig.Source a, Rig.Source b, Matrix d, String what) {
        float[] actual = duel.actual().multiply(Rig.CONTEXT, gemm, Rig.SITE, a, b, d);
        if (inOrder || exact(gemm, a, b)) {
            Bits.assertSame(duel.says(what), duel.plain().multiply(Rig.CONTEXT, gemm, Rig.SITE, a, b, d), actual);
            return;
        }
        StoredOperand left = duel.actual()
                .quantize(Rig.CONTEXT, Rig.SITE, a)
                .operand(gemm.product().contractionA());
        StoredOperand right = duel.actual()
                .quantize(Rig.CONTEXT, Rig.SITE, b)
                .operand(gemm.product().contractionB());
        float[] before = gemm.epilogue() == Epilogue.ADD ? d.values() : new float[actual.length]; // [M, N]
        ProductChecks.assertProduct(gemm, left, right, before, actual, duel.says(what));
    }

    private static boolean exact(GemmSpec gemm, Rig.Source a, Rig.Source b) {
        OperandSpec left = a.spec().operand(gemm.product().contractionA());
        OperandSpec right = b.spec().operand(gemm.product().contractionB());
        return gemm.terms().stream()
                .allMatch(term -> Arithmetic.of(
                                left.planes().get(term.planeA()).format(),
                                right.planes().get(term.planeB()).format())
                        == Arithmetic.EXACT);
    }

    /** An absent block adds no term, not even where the other side's scale is NaN. */
    void absentBlocksAddNothing(Duel duel) {
        PlaneSpec plane = SpecTable.int8(new Granularity.PerBlock(4, 8), Rounding.NEAREST_EVEN);
        QuantizeSpec residual = QuantizeSpec.both(
                Role.INPUT, SpecTable.withResidual(plane, new PlaneSource.Residual(new Threshold.ExactQuantile(0.6))));
        if (refused.test(residual)) {
            return;
        }
        GemmSpec gemm = new GemmSpec(Product.OUTPUT, List.of(new Term(1, 0)), Epilogue.STORE);
        // One block of the right side: whether an element of D meets it depends on one block of the left side alone.
        Matrix notFinite = Matrix.normal(2, 4, 64, 1).with(1, Float.NaN);
        Rig.Source a = new Rig.Source(residual, Matrix.normal(1, 24, 64, 1));
        Rig.Source b = new Rig.Source(QuantizeSpec.both(Role.WEIGHT, List.of(plane)), notFinite);
        Matrix d = Matrix.zeros(24, 4);
        float[] expected = duel.plain().multiply(Rig.CONTEXT, gemm, Rig.SITE, a, b, d);
        int nan = 0;
        for (float value : expected) {
            nan += Float.isNaN(value) ? 1 : 0;
        }
        assertTrue(nan > 0 && nan < expected.length, nan + " elements are NaN: some must be, some not");
        float[] actual = duel.actual().multiply(Rig.CONTEXT, gemm, Rig.SITE, a, b, d);
        Bits.assertSame(duel.says("the residual alone, times blocks of which some are NaN"), expected, actual);
    }

    /** NaN, infinity and numbers of all sizes pass through products as through the plain code's. */
    void specialValues(Duel duel) {
        if (!inOrder) {
            return; // a NaN or an infinity in a bound says nothing
        }
        Matrix x = SpecialValues.mixed(6, 29, 70).with(100, Float.NaN).with(1500, Float.NEGATIVE_INFINITY);
        Matrix w = Matrix.normal(8, 35, 70, 1);
        for (ProductTable.Case product : ProductTable.formats()) {
            if (product.gemm().product() == Product.OUTPUT) {
                assertSame(
                        duel,
                        product.gemm(),
                        new Rig.Source(product.a(), x),
                        new Rig.Source(product.b(), w),
                        Matrix.zeros(29, 35),
                        product.label() + " of special values");
            }
        }
    }
}
