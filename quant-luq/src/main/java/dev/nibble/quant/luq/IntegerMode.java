package dev.nibble.quant.luq;

import dev.nibble.quant.Granularity;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.quant.ScaleRule;
import dev.nibble.tensor.DType;

/**
 * The grid of W and X: {@code code = clamp(rint(x / scale), low, high)}, ties to even, one scale a tensor, by
 * {@code clip = 12.1·sqrt(mean x²) - 12.2·mean|x|}, at most max|x|, and max|x| where it is not positive. Source: SAWB, Choi et al.
 * 2018, arXiv:1807.06964, with the coefficients of the code released for LUQ, one pair for both tensors. Nearest rounding, since a
 * loss is not linear in them: there, unbiased rounding would only add error (LUQ, section 3.3).
 */
enum IntegerMode {
    /** Four bits: -7..7 with scale clip/7; an input that is never negative 0..15 with scale clip/15. */
    STRICT4,
    /**
     * The released grids, {@code scale = 2·clip / (high - low)}, which take more than four bits and are stored in INT8: W -8..8; X
     * -8..15; an input that is never negative 0..15, so that the grid ends at 2·clip. The released code turns to the signed grid
     * for ever when it first meets a negative element; here the layer's place in the model decides.
     */
    REF,
    /** None: W and X stay FP32, for ablation. */
    NONE;

    private static final float C1 = 12.1f;
    private static final float C2 = 12.2f;

    /** {@return the plane of W} */
    PlaneSpec weight() {
        return switch (this) {
            case STRICT4 -> sawb(DType.INT4, 7, -7, 7);
            case REF -> sawb(DType.INT8, 8, -8, 8);
            case NONE -> PlaneSpec.unscaled(DType.FP32);
        };
    }

    /**
     * {@return the plane of X}
     *
     * @param nonNegative whether no element is negative
     */
    PlaneSpec input(boolean nonNegative) {
        return switch (this) {
            case STRICT4 -> nonNegative ? sawb(DType.UINT4, 15, 0, 15) : sawb(DType.INT4, 7, -7, 7);
            case REF -> nonNegative ? sawb(DType.INT8, 7.5f, 0, 15) : sawb(DType.INT8, 11.5f, -8, 15);
            case NONE -> PlaneSpec.unscaled(DType.FP32);
        };
    }

    private static PlaneSpec sawb(DType format, float divisor, int low, int high) {
        return PlaneSpec.value(
                format,
                new Granularity.PerTensor(),
                new ScaleRule.Sawb(C1, C2, divisor, low, high),
                Rounding.NEAREST_EVEN);
    }
}
