package dev.nibble.quant;

import dev.nibble.tensor.DType;

/** How the scale of a group arises from its amax, and how it is applied. Always value ≈ code · scale. */
public sealed interface ScaleRule {
    /** Scale 1: the code is the value, rounded to the format. */
    record Unit() implements ScaleRule {}

    /**
     * {@code scale = amax / top; code = round(x · (top / amax))}, both quotients rounded to FP32.
     * A group with amax below 2^-119 (the reciprocal would overflow) gets scale 1 and codes 0; one that is not
     * finite gets scale NaN and codes 0. Source: methods of block INT8 (Jetfire; Zhang et al. 2025).
     */
    record AmaxOverTop() implements ScaleRule {}

    /**
     * {@code multiplier = top / max(amax, eps); code = saturate(round(x · multiplier)); scale = 1 / multiplier}.
     * An amax that is then 0, infinite or NaN gives multiplier 1; an infinite multiplier becomes the largest FP32.
     * Source: current scaling of FP8 recipes.
     *
     * @param powerOfTwo round the multiplier down to a power of two
     * @param eps an amax below it counts as eps; finite, 0 if there is no such bound
     */
    record TopOverAmax(boolean powerOfTwo, float eps) implements ScaleRule {
        /** Checks eps. */
        public TopOverAmax {
            if (!(eps >= 0 && eps <= Float.MAX_VALUE)) {
                throw new IllegalArgumentException("eps is " + eps + ", but must be finite and not negative");
            }
        }

        /** Makes a rule without eps. */
        public TopOverAmax(boolean powerOfTwo) {
            this(powerOfTwo, 0);
        }
    }

    /**
     * {@code scale = amax · 2^-exponent; code = round(x / scale)}: amax is the top code of an exponent format, exactly. An
     * amax below 2^-100 gives scale 0 and codes 0; one that is not finite gives scale NaN and codes 0. Source: LUQ, Chmiel et
     * al., arXiv:2112.10769.
     *
     * @param exponent E: log2 of the top code
     * @param powerOfTwo round the scale up to a power of two, so that nothing is clipped
     */
    record AmaxOverPower(int exponent, boolean powerOfTwo) implements ScaleRule {}

    /**
     * {@code clip = c1·sqrt(mean x²) - c2·mean|x|}, at most amax, and amax if it is not positive;
     * {@code scale = clip / divisor; code = clamp(rint(x / scale), low, high)}. One scale for the tensor; the means by the
     * fixed tree. A tensor of zeros gives scale 1; one that is not finite gives scale NaN and codes 0. Source: SAWB, Choi et al.
     * 2018, arXiv:1807.06964, with the coefficients of LUQ.
     *
     * @param c1 weight of the root mean square
     * @param c2 weight of the mean magnitude
     * @param divisor code that clip maps to
     * @param low smallest code
     * @param high largest code
     */
    record Sawb(float c1, float c2, float divisor, int low, int high) implements ScaleRule {}

    /**
     * {@code scale = 2·mean|x| / sqrt(top) + 1e-10; code = clamp(rint(x / scale), ±top)}: the first step size of LSQ. One
     * scale for the tensor; the mean, of the transformed tensor, by the fixed tree. One that is not finite gives scale NaN and
     * codes 0. Source: Xi et al. 2023, arXiv:2306.11987.
     */
    record MeanMagnitude() implements ScaleRule {}

    /**
     * A device value of the layer, settled before this tensor was seen: one pass over it. If the value is NaN, or an
     * element of a tensor with integer codes is not finite, the scale is NaN.
     *
     * @param state name of the layer's state vector; element 0 counts
     * @param application what the value is
     * @param whenZero the rule in force while the value is not positive
     */
    record Given(String state, Application application, ScaleRule whenZero) implements ScaleRule {
        /** Refuses a rule that would never end. */
        public Given {
            if (whenZero instanceof Given) {
                throw new IllegalArgumentException("the rule for a value of 0 must not need a state of its own");
            }
        }
    }

    /** What a given value is. */
    enum Application {
        /** The scale: {@code code = round(x / value)}. */
        SCALE,
        /** What x is multiplied by: {@code code = round(x · value); scale = 1 / value}. */
        MULTIPLIER
    }

    /** {@return whether it is defined for a whole tensor only} */
    default boolean needsWholeTensor() {
        return switch (this) {
            case Unit _, AmaxOverTop _, TopOverAmax _ -> false;
            case AmaxOverPower _, Sawb _, MeanMagnitude _, Given _ -> true;
        };
    }

    /** {@return the largest value, at scale 1, that codes of a format reach under this rule} */
    default float top(DType format) {
        return switch (this) {
            case Unit _, AmaxOverTop _, TopOverAmax _, MeanMagnitude _ -> format.top();
            case AmaxOverPower power -> Math.scalb(1f, power.exponent());
            case Sawb sawb -> sawb.high();
            case Given given -> given.whenZero().top(format);
        };
    }

    /** {@return the smallest value, at scale 1, that codes of a format reach under this rule} */
    default float bottom(DType format) {
        return switch (this) {
            case Sawb sawb -> sawb.low();
            case Given given -> given.whenZero().bottom(format);
            case Unit _, AmaxOverTop _, TopOverAmax _, MeanMagnitude _, AmaxOverPower _ ->
                format == DType.UINT4 ? 0 : -top(format);
        };
    }
}
