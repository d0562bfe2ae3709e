package dev.nibble.quant.fp8;

/**
 * The scale format E8M0 of the MX formats: byte b stands for {@code 2^(b-127)}, 0xFF for NaN. There is no zero and no sign.
 *
 * <p>A reference for numbers alone: scales in the SPI are FP32.
 */
final class E8m0 {
    static final int NAN = 0xFF;

    private static final int LARGEST = 0xFE;
    private static final int HALF = 0x400000; // mantissa bits of 2^-127, which is subnormal in FP32
    private static final int MANTISSA = 0x7FFFFF;
    private static final int INFINITY = 0x7F800000;

    private E8m0() {}

    /** {@return the byte of the smallest power of two that is not below |value|; beyond 2^127, and for infinity, 0xFE} */
    static int roundUp(float value) {
        return Math.min(roundUpUnsaturated(value), Float.isNaN(value) ? NAN : LARGEST);
    }

    /** {@return the byte of the smallest power of two that is not below |value|; beyond 2^127, and for infinity, NaN} */
    static int roundUpUnsaturated(float value) {
        int bits = Float.floatToRawIntBits(value) & 0x7FFFFFFF;
        if (bits >= INFINITY) {
            return NAN;
        }
        int exponent = bits >>> 23;
        int exact = exponent == 0 ? HALF : 0; // mantissa up to which no rounding is needed
        return (bits & MANTISSA) > exact ? exponent + 1 : exponent;
    }

    /** {@return the byte of the largest power of two that is not above |value|, at least 2^-127; NaN if it is not finite} */
    static int roundDown(float value) {
        return (Float.floatToRawIntBits(value) & INFINITY) >>> 23; // the exponent of infinity and NaN is 0xFF
    }

    /** {@return 2^(b-127)} */
    static float decode(int b) {
        if (b == NAN) {
            return Float.NaN;
        }
        return Float.intBitsToFloat(b == 0 ? HALF : b << 23);
    }

    /** {@return 2^(127-b), exactly} */
    static float reciprocal(int b) {
        return b == NAN ? Float.NaN : decode(LARGEST - b);
    }
}
