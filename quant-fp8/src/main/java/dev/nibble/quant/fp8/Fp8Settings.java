package dev.nibble.quant.fp8;

import dev.nibble.quant.Overflow;
import dev.nibble.quant.Rounding;
import dev.nibble.tensor.DType;
import java.util.Optional;

/**
 * How the layers of a model are quantized.
 *
 * @param scaling which elements share a scale
 * @param powerOfTwo whether scales are powers of two
 * @param forward format of X and W
 * @param backward format of dY
 * @param overflow what becomes of values beyond the format
 * @param eps an amax below it counts as eps; 0 with delayed scaling
 * @param delayed how delayed scaling works, if it is the scaling
 * @param gradRounding how dY is rounded
 * @param forwardRounding how X and W are rounded
 * @param smoothing of layers that read the output of a SwiGLU
 * @param wideGradWeight whether the weight gradient is computed from BF16, and gradInput from a W with one scale
 */
record Fp8Settings(
        Scaling scaling,
        boolean powerOfTwo,
        DType forward,
        DType backward,
        Overflow overflow,
        float eps,
        Optional<DelayedScaling> delayed,
        Rounding gradRounding,
        Rounding forwardRounding,
        Smoothing smoothing,
        boolean wideGradWeight) {}
