package dev.nibble.tensor;

/**
 * The 8-bit floats E4M3 and E5M2 (Micikevicius et al. 2022, arXiv:2209.05433, table 1): sign, exponent, mantissa.
 *
 * <p>Encoding rounds to nearest, ties to the even code, in integer arithmetic alone, and keeps the sign of zero. Every
 * NaN becomes 0x7F.
 */
public final class Fp8 {
    private static final int NAN_CODE = 0x7F;
    private static final int FLOAT_INFINITY = 0x7F800000;
    private static final float[] E4M3_VALUES = values(3, 7, 0x7F); // [256]
    private static final float[] E5M2_VALUES = values(2, 15, 0x7C); // [256]

    private Fp8() {}

    /**
     * {@return the code of the nearest value; beyond the largest finite one, and for infinities, the largest finite one}
     *
     * @param format E4M3 or E5M2
     */
    public static byte encode(DType format, float value) {
        return switch (format) {
            case E4M3 -> encode(Float.floatToRawIntBits(value), 3, 7, 0x7E, 0x7E);
            case E5M2 -> encode(Float.floatToRawIntBits(value), 2, 15, 0x7B, 0x7B);
            default -> throw notFp8(format);
        };
    }

    /**
     * {@return the code of the nearest value; beyond the largest finite one, NaN with the sign of the value (E4M3) or
     * infinity (E5M2)}
     *
     * @param format E4M3 or E5M2
     */
    public static byte encodeUnsaturated(DType format, float value) {
        return switch (format) {
            case E4M3 -> encode(Float.floatToRawIntBits(value), 3, 7, 0x7E, NAN_CODE);
            case E5M2 -> encode(Float.floatToRawIntBits(value), 2, 15, 0x7B, 0x7C);
            default -> throw notFp8(format);
        };
    }

    /**
     * {@return the code of one of the two neighbouring values: of the larger magnitude iff
     * {@code u < (|value| - below) / (above - below)}; saturated, so that rounding never passes the largest finite value}
     *
     * @param format E4M3 or E5M2
     * @param u uniform in [0, 1), on the grid 2^-24
     */
    public static byte encodeStochastic(DType format, float value, float u) {
        return switch (format) {
            case E4M3 -> encodeStochastic(Float.floatToRawIntBits(value), 3, 7, 0x7E, u);
            case E5M2 -> encodeStochastic(Float.floatToRawIntBits(value), 2, 15, 0x7B, u);
            default -> throw notFp8(format);
        };
    }

    private static byte encodeStochastic(int bits, int mantissa, int bias, int largest, float u) {
        int sign = (bits >>> 24) & 0x80;
        int magnitude = bits & 0x7FFFFFFF;
        if (magnitude > FLOAT_INFINITY) {
            return NAN_CODE;
        }
        int code;
        float fraction;
        if (magnitude >= (128 - bias) << 23) {
            int dropped = 23 - mantissa;
            code = (magnitude >>> dropped) - ((127 - bias) << mantissa);
            fraction = Math.scalb((float) (magnitude & ((1 << dropped) - 1)), -dropped);
        } else {
            float steps = Math.scalb(Float.intBitsToFloat(magnitude), bias - 1 + mantissa); // below 2^mantissa, exact
            code = (int) steps;
            fraction = steps - code;
        }
        return (byte) (Math.min(largest, u < fraction ? code + 1 : code) | sign);
    }

    /**
     * {@return the value of a code, exactly}
     *
     * @param format E4M3 or E5M2
     */
    public static float decode(DType format, byte code) {
        return switch (format) {
            case E4M3 -> E4M3_VALUES[code & 0xFF];
            case E5M2 -> E5M2_VALUES[code & 0xFF];
            default -> throw notFp8(format);
        };
    }

    /**
     * {@return a new array of the values of all 256 codes, indexed by the unsigned code}
     *
     * @param format E4M3 or E5M2
     */
    public static float[] decodeTable(DType format) {
        return switch (format) {
            case E4M3 -> E4M3_VALUES.clone();
            case E5M2 -> E5M2_VALUES.clone();
            default -> throw notFp8(format);
        };
    }

    private static byte encode(int bits, int mantissa, int bias, int largest, int overflow) {
        int sign = (bits >>> 24) & 0x80;
        int magnitude = bits & 0x7FFFFFFF;
        if (magnitude > FLOAT_INFINITY) {
            return NAN_CODE;
        }
        int code;
        if (magnitude >= (128 - bias) << 23) {
            int dropped = 23 - mantissa;
            // A carry out of the mantissa moves to the next binade, which is the right result.
            int rounded = magnitude + ((1 << (dropped - 1)) - 1) + ((magnitude >>> dropped) & 1);
            code = (rounded >>> dropped) - ((127 - bias) << mantissa);
            if (magnitude == FLOAT_INFINITY || code > largest) {
                code = overflow;
            }
        } else {
            code = subnormal(magnitude, mantissa, bias);
        }
        return (byte) (code | sign);
    }

    /** Rounds in fixed point; 2^mantissa, the smallest normal code, is a possible and correct result. */
    private static int subnormal(int magnitude, int mantissa, int bias) {
        int exponent = magnitude >>> 23;
        int shift = (1 - bias) - (exponent - 127) + (23 - mantissa);
        if (exponent == 0 || shift > 24) {
            return 0;
        }
        int significand = (magnitude & 0x7FFFFF) | 0x800000;
        int code = significand >>> shift;
        int rest = significand & ((1 << shift) - 1);
        int half = 1 << (shift - 1);
        return rest > half || (rest == half && (code & 1) == 1) ? code + 1 : code;
    }

    private static float[] values(int mantissa, int bias, int firstSpecial) {
        float[] values = new float[256]; // [code]
        for (int code = 0; code < 256; code++) {
            int magnitude = code & 0x7F;
            int exponent = magnitude >>> mantissa;
            int fraction = magnitude & ((1 << mantissa) - 1);
            float value;
            if (magnitude >= firstSpecial) {
                value = magnitude == 0x7C ? Float.POSITIVE_INFINITY : Float.NaN;
            } else if (exponent == 0) {
                value = Math.scalb((float) fraction, 1 - bias - mantissa);
            } else {
                value = Math.scalb((float) (fraction | 1 << mantissa), exponent - bias - mantissa);
            }
            values[code] = code > 0x7F && !Float.isNaN(value) ? -value : value;
        }
        return values;
    }

    private static IllegalArgumentException notFp8(DType format) {
        return new IllegalArgumentException(format.label() + " is not an 8-bit float, but e4m3 or e5m2 is needed");
    }
}
