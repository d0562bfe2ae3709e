package dev.nibble.testkit.data;

import dev.nibble.gemm.Epilogue;
import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Product;
import dev.nibble.gemm.Sampling;
import dev.nibble.gemm.Term;
import dev.nibble.quant.Granularity;
import dev.nibble.quant.PlaneSource;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.quant.ScaleRule;
import dev.nibble.quant.SplitMode;
import dev.nibble.quant.Threshold;
import dev.nibble.tensor.DType;
import java.util.ArrayList;
import java.util.List;

/** Products that together hold every pair of formats and granularities, and every sampling. */
public final class ProductTable {
    private static final List<Term> FIRST = List.of(new Term(0, 0));
    private static final List<Term> BOTH_OF_A = List.of(new Term(0, 0), new Term(1, 0));
    private static final List<Term> BOTH_OF_B = List.of(new Term(0, 0), new Term(0, 1));
    private static final List<Term> WEIGHTED =
            List.of(new Term(0, 0, 0.5f, 1), new Term(1, 0, 0.25f, 3), new Term(2, 0, -0.1f, 1));

    private ProductTable() {}

    /**
     * A product and what its operands are made by.
     *
     * @param gemm terms, sampling and epilogue
     * @param a quantizes the left tensor
     * @param b quantizes the right tensor
     */
    public record Case(GemmSpec gemm, QuantizeSpec a, QuantizeSpec b) {
        /** {@return what tells this case from others, in a line} */
        public String label() {
            Product product = gemm.product();
            return product.label() + " " + gemm.sampling() + " "
                    + a.operand(product.contractionA()).formatLabel() + " "
                    + a.operand(product.contractionA()).planes().getFirst().granularity() + " x "
                    + b.operand(product.contractionB()).formatLabel() + " "
                    + b.operand(product.contractionB()).planes().getFirst().granularity();
        }
    }

    private static Case of(Product product, List<Term> terms, Sampling sampling, List<PlaneSpec> a, List<PlaneSpec> b) {
        Epilogue epilogue = product == Product.GRAD_WEIGHT ? Epilogue.ADD : Epilogue.STORE;
        return new Case(
                new GemmSpec(product, terms, sampling, epilogue),
                QuantizeSpec.both(product.roleA(), a),
                QuantizeSpec.both(product.roleB(), b));
    }

    private static Case plain(Product product, PlaneSpec a, PlaneSpec b) {
        return of(product, FIRST, Sampling.NONE, List.of(a), List.of(b));
    }

    /** {@return every format times every format, the three products by turns} */
    public static List<Case> formats() {
        List<Case> cases = new ArrayList<>();
        for (DType a : SpecTable.formats()) {
            for (DType b : SpecTable.formats()) {
                Product product = Product.values()[cases.size() % Product.values().length];
                cases.add(plain(product, SpecTable.tensor(a), SpecTable.tensor(b)));
            }
        }
        return cases;
    }

    /** {@return every granularity times every granularity, of INT8 and E4M3} */
    public static List<Case> granularities() {
        List<Case> cases = new ArrayList<>();
        for (Granularity a : SpecTable.granularities()) {
            for (Granularity b : SpecTable.granularities()) {
                for (Product product : Product.values()) {
                    cases.add(plain(
                            product, SpecTable.int8(a, Rounding.STOCHASTIC), SpecTable.int8(b, Rounding.NEAREST_EVEN)));
                }
                Product product = Product.values()[cases.size() % Product.values().length];
                cases.add(plain(product, SpecTable.fp8(DType.E4M3, a), SpecTable.fp8(DType.E5M2, b)));
            }
        }
        return cases;
    }

    /** {@return products of residuals, digits and samples, with weights} */
    public static List<Case> severalPlanes() {
        List<Case> cases = new ArrayList<>();
        for (Granularity granularity : SpecTable.granularities()) {
            PlaneSpec first = SpecTable.int8(granularity, Rounding.NEAREST_EVEN);
            List<PlaneSpec> residual =
                    SpecTable.withResidual(first, new PlaneSource.Residual(new Threshold.ExactQuantile(0.6)));
            cases.add(of(Product.OUTPUT, BOTH_OF_A, Sampling.NONE, residual, List.of(first)));
            cases.add(of(Product.GRAD_WEIGHT, BOTH_OF_B, Sampling.NONE, List.of(first), residual));
            cases.add(of(Product.OUTPUT, List.of(new Term(1, 0)), Sampling.NONE, residual, List.of(first)));
        }
        List<PlaneSpec> weight = List.of(SpecTable.tensor(DType.INT4));
        for (Product product : List.of(Product.GRAD_INPUT, Product.GRAD_WEIGHT)) {
            for (SplitMode mode : SplitMode.values()) {
                cases.add(of(product, BOTH_OF_A, Sampling.NONE, PlaneSpec.digits(mode), weight));
            }
            cases.add(of(
                    product,
                    WEIGHTED,
                    Sampling.NONE,
                    SpecTable.power(DType.E3M0, 6).samples(3),
                    weight));
            List<PlaneSpec> wide = SpecTable.int8(new Granularity.PerRow(), Rounding.STOCHASTIC)
                    .samples(3);
            cases.add(of(product, WEIGHTED, Sampling.NONE, wide, List.of(SpecTable.tensor(DType.E4M3))));
        }
        return cases;
    }

    /** {@return products of which rows are left out} */
    public static List<Case> sampled() {
        List<Case> cases = new ArrayList<>();
        PlaneSpec int8 = PlaneSpec.value(
                DType.INT8, new Granularity.PerTensor(), new ScaleRule.AmaxOverTop(), Rounding.STOCHASTIC);
        List<PlaneSpec> int4 = List.of(SpecTable.tensor(DType.INT4));
        for (Product product : List.of(Product.GRAD_INPUT, Product.GRAD_WEIGHT)) {
            for (Sampling sampling : List.of(Sampling.NONZERO_ROWS, Sampling.LEVERAGE)) {
                cases.add(of(product, FIRST, sampling, List.of(int8), int4));
                cases.add(of(product, BOTH_OF_A, sampling, PlaneSpec.digits(SplitMode.UNBIASED), int4));
                cases.add(of(product, WEIGHTED, sampling, int8.samples(3), int4));
                cases.add(of(
                        product,
                        WEIGHTED,
                        sampling,
                        SpecTable.power(DType.E4M0, 8).samples(3),
                        List.of(int8)));
            }
            cases.add(of(
                    product,
                    FIRST,
                    Sampling.NONZERO_ROWS,
                    List.of(SpecTable.tensor(DType.E5M2)),
                    List.of(SpecTable.tensor(DType.E4M3))));
        }
        return cases;
    }
}
