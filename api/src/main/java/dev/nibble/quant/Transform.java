package dev.nibble.quant;

/** What is done to a matrix along its columns before it is quantized; the codes are those of the result. */
public sealed interface Transform {
    /** Nothing. */
    record Identity() implements Transform {}

    /**
     * Each run of b columns is multiplied by the normalised Hadamard matrix of that order (Sylvester, natural order):
     * FP32 butterflies of stride 1, 2, 4, …, then one multiplication by 2^(-log2(b)/2). It is its own inverse, and cancels
     * in a product of two operands that are transformed alike (Xi et al. 2023, arXiv:2306.11987).
     *
     * @param state the layer's state vector whose element 0 is log2(b); b must divide the number of columns
     */
    record BlockHadamard(String state) implements Transform {}

    /**
     * Column k is multiplied by d[k], or by 1/d[k], rounded once. If one operand has d and the other 1/d, it cancels in
     * their product (Smooth-SwiGLU per channel, arXiv:2409.12517).
     *
     * @param state the layer's state vector d, one element a column
     * @param inverse whether 1/d[k] is meant
     */
    record ColumnScale(String state, boolean inverse) implements Transform {}
}
