package dev.nibble.quant;

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
     * {@code multiplier = top / amax; code = saturate(round(x · multiplier)); scale = 1 / multiplier}.
     * An amax of 0, infinity or NaN gives multiplier 1; an infinite multiplier becomes the largest FP32.
     * Source: current scaling of FP8 recipes.
     *
     * @param powerOfTwo round the multiplier down to a power of two
     */
    record TopOverAmax(boolean powerOfTwo) implements ScaleRule {}
}
