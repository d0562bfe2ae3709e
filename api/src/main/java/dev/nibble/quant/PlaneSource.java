package dev.nibble.quant;

/** What a plane represents. */
public sealed interface PlaneSource {
    /** The tensor itself. */
    record Value() implements PlaneSource {}

    /**
     * What plane 0 leaves over: {@code d = fma(-scale0, code0, x)}, with the stored scale, in the blocks of plane 0
     * whose amax is above a threshold. All other blocks are absent: code 0, scale 0, mask 0.
     *
     * <p>Within a flagged block {@code scale = max|d| / top; code = round(d · (top / max|d|))}; max|d| below 2^-119
     * gives codes 0 and scale 0. A block whose amax is zero or not finite is never flagged. Source: Zhang et al. 2025,
     * arXiv:2503.08040, as specified in docs/numerics.md.
     *
     * @param threshold where the threshold comes from
     */
    record Residual(Threshold threshold) implements PlaneSource {}
}
