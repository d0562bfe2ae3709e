package dev.nibble.quant.luq;

import dev.nibble.quant.Rounding;

/** How dY becomes 4-bit codes. */
enum GradientMode {
    /** Powers of two, stochastic in the value, underflow included: unbiased. */
    LUQ(Rounding.STOCHASTIC),
    /** The nearest power of two; the midpoint 1.5·2^e goes up, and so does half of the smallest power. Biased. */
    RDNP(Rounding.NEAREST_EVEN),
    /** The nearest power of two, 0 below the smallest one: plain FP4. Biased. */
    FP4_FLUSH(Rounding.NEAREST_FLUSH),
    /** Powers of two, stochastic in the exponent; underflow as LUQ. Biased by up to +6 %. */
    LOG_SR(Rounding.STOCHASTIC_LOG),
    /** INT4 ±7 with scale max|dY|/7, stochastic: unbiased, but small elements drown in noise. */
    INT4_SR(Rounding.STOCHASTIC),
    /** None: dY stays FP32. */
    NONE(Rounding.NEAREST_EVEN);

    private final Rounding rounding;

    GradientMode(Rounding rounding) {
        this.rounding = rounding;
    }

    /** {@return how a value becomes a code} */
    Rounding rounding() {
        return rounding;
    }

    /** {@return whether the codes are powers of two} */
    boolean powers() {
        return switch (this) {
            case LUQ, RDNP, FP4_FLUSH, LOG_SR -> true;
            case INT4_SR, NONE -> false;
        };
    }

    /** {@return whether two draws of one tensor differ} */
    boolean random() {
        return rounding == Rounding.STOCHASTIC || rounding == Rounding.STOCHASTIC_LOG;
    }
}
