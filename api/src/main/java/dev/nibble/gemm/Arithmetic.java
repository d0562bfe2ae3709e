package dev.nibble.gemm;

import dev.nibble.tensor.DType;

/** How a pair of planes is multiplied: decided by their formats alone. */
public enum Arithmetic {
    /** Integer codes on both sides: the sum of a segment is exact, then scaled. */
    EXACT,
    /** 8-bit floats, or operands of different families: FP32 fma chains of at most 128, then scaled. */
    CHAIN,
    /** Wider floats on both sides: values are their own codes, one FP32 fma chain. */
    FLOAT;

    /**
     * {@return the arithmetic of a pair of formats}
     *
     * @throws IllegalArgumentException if one cannot be an operand
     */
    public static Arithmetic of(DType a, DType b) {
        if (a.family() == DType.Family.INDEX || b.family() == DType.Family.INDEX) {
            throw new IllegalArgumentException(a.label() + " and " + b.label() + " cannot be multiplied");
        }
        if (a.family() == DType.Family.INTEGER && b.family() == DType.Family.INTEGER) {
            return EXACT;
        }
        return a.family() == DType.Family.FLOAT && b.family() == DType.Family.FLOAT ? FLOAT : CHAIN;
    }
}
