package dev.nibble.quant;

/** How a tensor is split into an upper and a lower INT4 digit. */
public enum SplitMode {
    /**
     * Mode U, unbiased: {@code v = SR(x · (119 / amax))}, {@code lower = ((v + 8) mod 16) - 8} in -8..7,
     * {@code upper = (v - lower) / 16} in -7..7; scales amax/119 and 16 times that.
     */
    UNBIASED,
    /**
     * Mode R, as released with arXiv:2306.11987, biased: {@code t = x · (98 / amax)}, {@code upper = clip(rint(t/14), ±6)},
     * {@code lower = clip(SR(t - 14·upper), ±6)}; scales amax/98 and 14 times that.
     */
    RELEASED;

    /** {@return the value that amax maps to, in units of the lower digit} */
    public float top() {
        return this == UNBIASED ? 119 : 98;
    }

    /** {@return the weight of the upper digit, in units of the lower one} */
    public int base() {
        return this == UNBIASED ? 16 : 14;
    }
}
