package dev.nibble.gemm;

import java.util.List;

/**
 * A product of two operands as an ordered list of terms.
 *
 * <p>Within each part of {@link Splits}, for each segment of {@link Segments} ascending, for each term in order:
 * {@code acc = fma((wA·sA)·(wB·sB), (float) P, acc)}, each product of a weight and a scale rounded to FP32, with P the exact integer sum
 * (both INTEGER), or the FP32 fma chain from 0, k ascending (FP8, and mixed families), of the segment's products. A pair of FLOAT
 * operands has no scales: {@code acc = fma(a, b, acc)}, k ascending. Parts are added ascending, then the epilogue is applied. A plane's blocks whose mask is 0 add no term.
 *
 * @param product which product of a linear layer this is
 * @param terms plane pairs, ordered by left plane, then right plane
 * @param sampling which rows of dY enter
 * @param epilogue what happens to the sum
 */
public record GemmSpec(Product product, List<Term> terms, Sampling sampling, Epilogue epilogue) {
    /** Checks the terms. */
    public GemmSpec {
        terms = List.copyOf(terms);
        if (terms.isEmpty()) {
            throw new IllegalArgumentException(product.label() + " needs at least one term");
        }
        if (product == Product.OUTPUT && sampling != Sampling.NONE) {
            throw new IllegalArgumentException(
                    "output has sampling " + sampling + ", but only products of dY have one");
        }
    }

    /** Makes a product of all rows. */
    public GemmSpec(Product product, List<Term> terms, Epilogue epilogue) {
        this(product, terms, Sampling.NONE, epilogue);
    }

    /** {@return the product of the first planes} */
    public static GemmSpec of(Product product, Epilogue epilogue) {
        return new GemmSpec(product, List.of(new Term(0, 0)), epilogue);
    }
}
