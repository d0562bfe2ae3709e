package dev.nibble.quant.fp8;

/**
 * The 4-bit float E2M1 of the MX formats and of FP4 training: sign, two exponent bits, one mantissa bit. A code is
 * {@code sign<<3 | k}, k = 0..7 standing for 0, 0.5, 1, 1.5, 2, 3, 4, 6; there is neither NaN nor infinity.
 *
 * <p>A reference for numbers alone: no plane of the SPI has this format yet.
 */
final class E2m1 {
    private static final float[] VALUES = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6}; // [k]
    private static final int SIGN = 8;
    private static final int LARGEST = 7;

    private E2m1() {}

    /**
     * {@return the code of the nearest value, ties to the even code; beyond 6, and for infinity, ±6; for NaN +6} As the host
     * conversion of CUDA 13.0 has it: the sign of zero is kept, that of NaN is not.
     */
    static int encode(float value) {
        if (Float.isNaN(value)) {
            return LARGEST;
        }
        float magnitude = Math.abs(value);
        int k = 0;
        while (k < LARGEST && isAbove(magnitude, k)) {
            k++;
        }
        return Float.floatToRawIntBits(value) < 0 ? k | SIGN : k;
    }

    /** {@return whether a magnitude rounds to a code above k: the midpoint does if k is odd} */
    private static boolean isAbove(float magnitude, int k) {
        float midpoint = (VALUES[k] + VALUES[k + 1]) / 2; // exact
        return magnitude > midpoint || (magnitude == midpoint && (k & 1) == 1);
    }

    /** {@return the value of a code, of which the lowest four bits count} */
    static float decode(int code) {
        float value = VALUES[code & LARGEST];
        return (code & SIGN) == 0 ? value : -value;
    }
}
