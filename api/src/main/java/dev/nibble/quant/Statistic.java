package dev.nibble.quant;

/** The side results of quantizing a tensor: elements of one small FP32 device vector, in this order. */
public enum Statistic {
    /** max|x|; NaN if any element is NaN, infinite if any is infinite. */
    AMAX,
    /** Share of blocks that have a residual, in [0, 1]; 0 without a residual plane. */
    FALLBACK_RATE,
    /** The threshold that decided it; 0 without a residual plane. */
    THRESHOLD,
    /** The largest block amax over the median block amax, where there is a residual plane; else 0. */
    OUTLIER_RATIO,
    /** Share of elements beyond the range of the codes before rounding, where the scale was given; else 0. */
    SATURATED,
    /** The scale of the first plane of the first operand, where a tensor has one; else 0. */
    SCALE;

    /** {@return how many there are: the length of the vector} */
    public static int count() {
        return values().length;
    }
}
