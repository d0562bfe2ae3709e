package dev.nibble.reference;

import dev.nibble.quant.Rounding;

/**
 * Rounds one scaled magnitude to a power of two: k = 0 stands for 0, k for 2^(k-1). For sign-magnitude formats without a
 * mantissa (LUQ, Chmiel et al., arXiv:2112.10769).
 */
public final class ExponentCode {
    private static final int BIAS = 127;
    private static final int MANTISSA_BITS = 23;
    private static final int MANTISSA = 0x7FFFFF;
    private static final float MIDPOINT = 1.5f;
    private static final float HALF = 0.5f;
    private static final float LN_2 = (float) StrictMath.log(2);

    private ExponentCode() {}

    /**
     * {@return k}
     *
     * @param magnitude |x| / scale; NaN gives 0
     * @param largest the largest k; magnitudes from 2^(largest - 1) give it
     * @param rounding how
     * @param u uniform in [0, 1), on the grid 2^-24
     */
    public static int of(float magnitude, int largest, Rounding rounding, float u) {
        if (!(magnitude > 0)) {
            return 0;
        }
        if (magnitude < 1) {
            return belowOne(magnitude, rounding, u) ? 1 : 0;
        }
        int bits = Float.floatToRawIntBits(magnitude);
        int k = (bits >>> MANTISSA_BITS) - BIAS + 1;
        if (k >= largest) {
            return largest;
        }
        float m = Float.intBitsToFloat((bits & MANTISSA) | (BIAS << MANTISSA_BITS)); // in [1, 2)
        boolean up = switch (rounding) {
            case NEAREST_EVEN, NEAREST_FLUSH -> m >= MIDPOINT;
            case STOCHASTIC -> u < m - 1;
            // u < log2(m): compared on the other side of the exponential, which is specified to the last bit.
            case STOCHASTIC_LOG -> m > 1 && Exp.exp(u * LN_2) < m;
        };
        return up ? k + 1 : k;
    }

    private static boolean belowOne(float magnitude, Rounding rounding, float u) {
        return switch (rounding) {
            case NEAREST_EVEN -> magnitude >= HALF;
            case NEAREST_FLUSH -> false;
            case STOCHASTIC, STOCHASTIC_LOG -> u < magnitude;
        };
    }
}
