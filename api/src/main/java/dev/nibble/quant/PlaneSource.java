package dev.nibble.quant;

/** What a plane represents. */
public sealed interface PlaneSource {
    /** The tensor itself. */
    record Value() implements PlaneSource {}

    /**
     * What plane 0 leaves over: {@code d = fma(-scale0, code0, x)}, with the stored scale, in the blocks of plane 0
     * whose {@link Criterion} is above a threshold. All other blocks are absent: code 0, scale 0, mask 0.
     *
     * <p>Within a flagged block {@code scale = max|d| / top; code = round(d · (top / max|d|))}; max|d| below 2^-119
     * gives codes 0 and scale 0. A block whose amax is zero or not finite is never flagged. Source: Zhang et al. 2025,
     * arXiv:2503.08040, as specified in docs/numerics.md.
     *
     * @param threshold where the threshold comes from
     * @param criterion what of a block is compared with it
     */
    record Residual(Threshold threshold, Criterion criterion) implements PlaneSource {
        /** Compares the block's amax. */
        public Residual(Threshold threshold) {
            this(threshold, Criterion.ABSMAX);
        }
    }

    /**
     * One of two INT4 digits of one draw. The value is {@code scaleUpper · upper + scaleLower · lower}; the operand has
     * both planes, the upper one first. Source: bit splitting, Xi et al. 2023, arXiv:2306.11987.
     *
     * @param upper whether it is the upper digit
     * @param mode how the tensor is split
     */
    record Digit(boolean upper, SplitMode mode) implements PlaneSource {}

    /**
     * One of several stochastic draws of the same tensor at the same scale. Each represents the tensor; a product
     * weighs them. Source: stochastic multiple sampling, Chmiel et al., arXiv:2112.10769.
     *
     * @param sample its number, from 0: part of the address of its random draws
     */
    record Sample(int sample) implements PlaneSource {}
}
