package dev.nibble.quant;

/** How a real number becomes a neighbouring code. */
public enum Rounding {
    /** To the nearest code, ties to the even one. */
    NEAREST_EVEN,
    /**
     * Up with a probability equal to the fraction: up iff u &lt; t - floor(t), with u from a
     * {@code RandomStream}. Unbiased inside the range of the format.
     */
    STOCHASTIC
}
