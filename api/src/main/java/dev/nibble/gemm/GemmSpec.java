package dev.nibble.gemm;

import java.util.List;

/**
 * A product of two operands as an ordered list of terms.
 *
 * <p>Within each part of {@link Splits}, for each segment of {@link Segments} ascending, for each term in order:
 * {@code acc = fma(sA·sB, (float) P, acc)}, with P the exact integer sum (INTEGER), or the FP32 fma chain from 0,
 * k ascending (FP8), of the segment's products. FLOAT operands have no scales: {@code acc = fma(a, b, acc)}, k
 * ascending. Parts are added ascending, then the epilogue is applied. A plane's blocks whose mask is 0 add no term.
 *
 * @param product which product of a linear layer this is
 * @param terms plane pairs, ordered by left plane, then right plane
 * @param epilogue what happens to the sum
 */
public record GemmSpec(Product product, List<Term> terms, Epilogue epilogue) {
    /** Checks the terms. */
    public GemmSpec {
        terms = List.copyOf(terms);
        if (terms.isEmpty()) {
            throw new IllegalArgumentException(product.label() + " needs at least one term");
        }
    }

    /** {@return the product of the first planes} */
    public static GemmSpec of(Product product, Epilogue epilogue) {
        return new GemmSpec(product, List.of(new Term(0, 0)), epilogue);
    }
}
