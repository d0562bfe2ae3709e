package dev.nibble.reference;

import dev.nibble.quant.ScaleRule;
import dev.nibble.tensor.DType;

/**
 * How the elements of one group are scaled: {@code code = round(x · multiplier)}, {@code x ≈ code · scale}.
 *
 * @param scale stored with the codes
 * @param multiplier applied before rounding; 0 says that all codes of the group are 0, whatever the elements
 */
public record GroupScale(float scale, float multiplier) {
    /** Groups with a smaller amax are zero: {@code 127 / amax} would leave the range of FP32. */
    public static final float SMALLEST_AMAX = 0x1p-119f;

    private static final GroupScale UNIT = new GroupScale(1, 1);
    private static final GroupScale ZERO = new GroupScale(1, 0);
    private static final GroupScale NOT_FINITE = new GroupScale(Float.NaN, 0);
    private static final GroupScale NO_RESIDUAL = new GroupScale(0, 0);

    /**
     * {@return the scale of a group}
     *
     * @param rule how it arises
     * @param format format of the codes
     * @param amax max|x| of the group, NaN if an element is NaN
     */
    public static GroupScale of(ScaleRule rule, DType format, float amax) {
        return switch (rule) {
            case ScaleRule.Unit _ -> UNIT;
            case ScaleRule.AmaxOverTop _ -> amaxOverTop(format.top(), amax);
            case ScaleRule.TopOverAmax top -> topOverAmax(format.top(), amax, top.powerOfTwo());
        };
    }

    /** {@return the scale of a group of INT8 codes: {@code amax / 127}, applied as {@code 127 / amax}} */
    public static GroupScale int8(float amax) {
        return amaxOverTop(DType.INT8.top(), amax);
    }

    /**
     * {@return the scale of a flagged block of a residual plane}
     *
     * @param format format of the codes
     * @param amax max|d| of the block, finite
     */
    public static GroupScale residual(DType format, float amax) {
        GroupScale scale = amaxOverTop(format.top(), amax);
        return scale.multiplier() == 0 ? NO_RESIDUAL : scale;
    }

    private static GroupScale amaxOverTop(float top, float amax) {
        if (!Float.isFinite(amax)) {
            return NOT_FINITE;
        }
        float multiplier = top / amax;
        // The second condition matters for formats with a larger top than 448 alone.
        if (amax < SMALLEST_AMAX || multiplier == Float.POSITIVE_INFINITY) {
            return ZERO;
        }
        return new GroupScale(amax / top, multiplier);
    }

    private static GroupScale topOverAmax(float top, float amax, boolean powerOfTwo) {
        if (amax == 0 || !Float.isFinite(amax)) {
            return UNIT;
        }
        float multiplier = Math.min(top / amax, Float.MAX_VALUE);
        if (powerOfTwo) {
            multiplier = Float.intBitsToFloat(Float.floatToRawIntBits(multiplier) & 0xFF800000);
        }
        return new GroupScale(1 / multiplier, multiplier);
    }
}
