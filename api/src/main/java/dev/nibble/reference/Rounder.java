package dev.nibble.reference;

import dev.nibble.quant.Rounding;
import dev.nibble.tensor.DType;

/** Rounds one scaled value to an INT8 code in -127..127, and says which formats round how. */
public final class Rounder {
    private static final float TOP = 127;

    private Rounder() {}

    /** {@return the nearest code, ties to even, saturated; 0 for NaN} */
    public static byte nearest(float t) {
        return saturate((float) Math.rint(t));
    }

    /**
     * {@return floor(t), or one more if u is less than the fraction; saturated; 0 for NaN}
     *
     * <p>The sum {@code floor(t + u)} would be another law: in FP32 it returns 128 for t = 127.
     *
     * @param t scaled value
     * @param u uniform in [0, 1), on the grid 2^-24
     */
    public static byte stochastic(float t, float u) {
        float floor = (float) Math.floor(t);
        return saturate(u < t - floor ? floor + 1 : floor);
    }

    private static byte saturate(float code) {
        if (Float.isNaN(code)) {
            return 0;
        }
        return (byte) Math.max(-TOP, Math.min(TOP, code));
    }

    /**
     * Checks that a format can be rounded to in this way.
     *
     * @throws IllegalArgumentException if it cannot
     */
    public static void requireSupported(DType format, Rounding rounding) {
        if (rounding == Rounding.STOCHASTIC && format != DType.INT8) {
            throw new IllegalArgumentException(
                    "rounding to " + format.label() + " is stochastic, but only int8 can be rounded stochastically");
        }
    }
}
