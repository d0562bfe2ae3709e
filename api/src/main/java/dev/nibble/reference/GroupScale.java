package dev.nibble.reference;

import dev.nibble.quant.ScaleRule;
import dev.nibble.tensor.DType;

/**
 * How the elements of one group are scaled: {@code t = x · multiplier / divisor}, of which one is 1; code = round(t);
 * {@code x ≈ code · scale}.
 *
 * @param scale stored with the codes
 * @param multiplier applied before rounding; 0 says that all codes of the group are 0, whatever the elements
 * @param divisor applied before rounding
 */
public record GroupScale(float scale, float multiplier, float divisor) {
    /** Groups with a smaller amax are zero: {@code 127 / amax} would leave the range of FP32. */
    public static final float SMALLEST_AMAX = 0x1p-119f;

    private static final float SMALLEST_POWER_AMAX = 0x1p-100f;
    private static final float SMALLEST_STEP = 1e-10f; // what released LSQ code adds to the first step
    private static final GroupScale UNIT = new GroupScale(1, 1, 1);
    private static final GroupScale ZERO = new GroupScale(1, 0, 1);
    private static final GroupScale NOT_FINITE = new GroupScale(Float.NaN, 0, 1);
    private static final GroupScale NO_VALUE = new GroupScale(0, 0, 1);

    /** Makes a scale that is applied by a multiplication. */
    public GroupScale(float scale, float multiplier) {
        this(scale, multiplier, 1);
    }

    /**
     * {@return the scale of a group by a rule that needs its amax alone}
     *
     * @param rule how it arises
     * @param format format of the codes
     * @param amax max|x| of the group, NaN if an element is NaN
     * @throws IllegalArgumentException if the rule needs more
     */
    public static GroupScale of(ScaleRule rule, DType format, float amax) {
        return switch (rule) {
            case ScaleRule.Unit _ -> UNIT;
            case ScaleRule.AmaxOverTop _ -> amaxOverTop(format.top(), amax);
            case ScaleRule.TopOverAmax top -> topOverAmax(format.top(), amax, top);
            case ScaleRule.AmaxOverPower power -> amaxOverPower(power, amax);
            case ScaleRule.Sawb _, ScaleRule.MeanMagnitude _, ScaleRule.Given _ ->
                throw new IllegalArgumentException(rule + " needs more than the amax");
        };
    }

    /**
     * {@return the scale by a rule for a whole tensor}
     *
     * @param rule how it arises; not given
     * @param format format of the codes
     * @param amax max|x|, NaN if an element is NaN
     * @param moments of the tensor
     */
    public static GroupScale of(ScaleRule rule, DType format, float amax, Moments moments) {
        return switch (rule) {
            case ScaleRule.Sawb sawb -> sawb(sawb, amax, moments);
            case ScaleRule.MeanMagnitude _ -> meanMagnitude(format.top(), amax, moments);
            case ScaleRule.Unit _,
                    ScaleRule.AmaxOverTop _,
                    ScaleRule.TopOverAmax _,
                    ScaleRule.AmaxOverPower _,
                    ScaleRule.Given _ -> of(rule, format, amax);
        };
    }

    /**
     * {@return the scale that a layer's state gives}
     *
     * @param given the rule
     * @param format format of the codes
     * @param value of the state; positive or NaN
     * @param amax max|x|, NaN if an element is NaN; where it is not finite, integer codes have scale NaN
     */
    public static GroupScale given(ScaleRule.Given given, DType format, float value, float amax) {
        if (Float.isNaN(value)) {
            return NOT_FINITE;
        }
        GroupScale scale = switch (given.application()) {
            case SCALE -> new GroupScale(value, 1, value);
            case MULTIPLIER -> new GroupScale(1 / value, value, 1);
        };
        boolean lost = !Float.isFinite(amax) && format.family() == DType.Family.INTEGER;
        return lost ? new GroupScale(Float.NaN, scale.multiplier(), scale.divisor()) : scale;
    }

    /** {@return the scale of a group of INT8 codes: {@code amax / 127}, applied as {@code 127 / amax}} */
    public static GroupScale int8(float amax) {
        return amaxOverTop(DType.INT8.top(), amax);
    }

    /** {@return a scale of {@code amax / top}, applied as {@code top / amax}} */
    public static GroupScale amaxOverTop(float top, float amax) {
        if (!Float.isFinite(amax)) {
            return NOT_FINITE;
        }
        float multiplier = top / amax;
        // The second condition matters for formats with a larger top than 448 alone.
        if (amax < SMALLEST_AMAX || multiplier == Float.POSITIVE_INFINITY) {
            return ZERO;
        }
        return new GroupScale(amax / top, multiplier, 1);
    }

    /**
     * {@return the scale of a flagged block of a residual plane}
     *
     * @param format format of the codes
     * @param amax max|d| of the block, finite
     */
    public static GroupScale residual(DType format, float amax) {
        GroupScale scale = amaxOverTop(format.top(), amax);
        return scale.multiplier() == 0 ? NO_VALUE : scale;
    }

    /** {@return the scaled value of an element} */
    public float apply(float x) {
        return x * multiplier / divisor;
    }

    private static GroupScale topOverAmax(float top, float measured, ScaleRule.TopOverAmax rule) {
        float amax = measured < rule.eps() ? rule.eps() : measured; // NaN stays
        if (amax == 0 || !Float.isFinite(amax)) {
            return UNIT;
        }
        float multiplier = Math.min(top / amax, Float.MAX_VALUE);
        if (rule.powerOfTwo()) {
            multiplier = Float.intBitsToFloat(Float.floatToRawIntBits(multiplier) & 0xFF800000);
        }
        return new GroupScale(1 / multiplier, multiplier, 1);
    }

    private static GroupScale amaxOverPower(ScaleRule.AmaxOverPower rule, float amax) {
        if (!Float.isFinite(amax)) {
            return NOT_FINITE;
        }
        if (amax < SMALLEST_POWER_AMAX) {
            return NO_VALUE;
        }
        float scale = Math.scalb(amax, -rule.exponent());
        if (rule.powerOfTwo()) {
            float below = Float.intBitsToFloat(Float.floatToRawIntBits(scale) & 0xFF800000);
            scale = below == scale ? scale : 2 * below;
        }
        return new GroupScale(scale, 1, scale);
    }

    private static GroupScale sawb(ScaleRule.Sawb rule, float amax, Moments moments) {
        if (!Float.isFinite(amax)) {
            return NOT_FINITE;
        }
        if (amax < SMALLEST_AMAX) {
            return ZERO;
        }
        float clip = rule.c1() * (float) Math.sqrt(moments.meanSquare()) - rule.c2() * moments.meanMagnitude();
        // The moments of a tensor of huge or tiny elements overflow or vanish: then, too, amax is the clip.
        float scale = (clip > 0 && clip < amax ? clip : amax) / rule.divisor();
        return new GroupScale(scale, 1, scale);
    }

    /**
     * {@return the first step of LSQ: see {@link ScaleRule.MeanMagnitude}}
     *
     * @param top largest code
     * @param amax max|x|, NaN if an element is NaN
     * @param moments of the tensor
     */
    public static GroupScale meanMagnitude(float top, float amax, Moments moments) {
        if (!Float.isFinite(amax)) {
            return NOT_FINITE;
        }
        float scale = 2 * moments.meanMagnitude() / (float) Math.sqrt(top) + SMALLEST_STEP;
        return Float.isFinite(scale) ? new GroupScale(scale, 1, scale) : amaxOverTop(top, amax);
    }
}
