package dev.nibble.quant;

/** How a real number becomes a neighbouring code. */
public enum Rounding {
    /**
     * To the nearest code, ties to the even one. For the exponent formats the midpoint of two powers, 1.5 times the
     * smaller one, goes up, and so does half of the smallest (round to nearest power, RDNP).
     */
    NEAREST_EVEN,
    /**
     * Up with a probability equal to the fraction: up iff u &lt; (|t| - below) / (above - below) for sign-magnitude
     * formats, u &lt; t - floor(t) for integers, with u from a {@code RandomStream}. Unbiased inside the range of the
     * format.
     */
    STOCHASTIC,
    /** Exponent formats: to the nearest power, and to 0 below the smallest one. Biased: for comparison. */
    NEAREST_FLUSH,
    /**
     * Exponent formats: up iff u &lt; log2(|t|) - floor(log2(|t|)); below the smallest power as {@link #STOCHASTIC}.
     * Unbiased in the exponent, so biased in the value: for comparison.
     */
    STOCHASTIC_LOG
}
