package dev.nibble.reference;

import dev.nibble.quant.Overflow;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.tensor.DType;

/** Rounds one scaled value to an integer code, and says which formats round how. */
public final class Rounder {
    private static final float TOP = 127;

    private Rounder() {}

    /** {@return the nearest INT8 code, ties to even, saturated to ±127; 0 for NaN} */
    public static byte nearest(float t) {
        return (byte) nearest(t, -TOP, TOP);
    }

    /** {@return the nearest code, ties to even, in low..high; 0 for NaN} */
    public static int nearest(float t, float low, float high) {
        return saturate((float) Math.rint(t), low, high);
    }

    /** {@return {@link #stochastic(float, float, float, float)} for INT8} */
    public static byte stochastic(float t, float u) {
        return (byte) stochastic(t, u, -TOP, TOP);
    }

    /**
     * {@return floor(t), or one more if u is less than the fraction; in low..high; 0 for NaN}
     *
     * <p>The sum {@code floor(t + u)} would be another law: in FP32 it returns 128 for t = 127.
     *
     * @param t scaled value
     * @param u uniform in [0, 1), on the grid 2^-24
     * @param low smallest code
     * @param high largest code
     */
    public static int stochastic(float t, float u, float low, float high) {
        float floor = (float) Math.floor(t);
        return saturate(u < t - floor ? floor + 1 : floor, low, high);
    }

    private static int saturate(float code, float low, float high) {
        return Float.isNaN(code) ? 0 : (int) Math.max(low, Math.min(high, code));
    }

    /**
     * Checks that a plane can be rounded to in its way.
     *
     * @throws IllegalArgumentException if it cannot
     */
    public static void requireSupported(PlaneSpec plane) {
        DType format = plane.format();
        boolean exponent = format == DType.E3M0 || format == DType.E4M0;
        boolean fits = switch (plane.rounding()) {
            case NEAREST_EVEN -> true;
            case STOCHASTIC -> format.family() != DType.Family.FLOAT;
            case NEAREST_FLUSH, STOCHASTIC_LOG -> exponent;
        };
        if (!fits) {
            throw new IllegalArgumentException(
                    "rounding to " + format.label() + " is " + plane.rounding() + ", which it does not know");
        }
        if (plane.overflow() != Overflow.SATURATE && format.family() != DType.Family.FP8) {
            throw new IllegalArgumentException(format.label() + " has overflow " + plane.overflow()
                    + ", but only 8-bit floats can do anything but SATURATE");
        }
    }
}
