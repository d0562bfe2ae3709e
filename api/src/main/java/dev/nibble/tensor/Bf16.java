package dev.nibble.tensor;

/** BF16: the upper 16 bits of an FP32. */
public final class Bf16 {
    private static final short NAN = 0x7FC0;

    private Bf16() {}

    /** {@return the nearest BF16, ties to even; beyond the largest finite value infinity; 0x7FC0 for every NaN} */
    public static short encode(float value) {
        if (Float.isNaN(value)) {
            return NAN; // rounding would carry some NaNs into infinity or zero
        }
        int bits = Float.floatToRawIntBits(value);
        return (short) ((bits + 0x7FFF + ((bits >>> 16) & 1)) >>> 16);
    }

    /** {@return the value, exactly} */
    public static float decode(short code) {
        return Float.intBitsToFloat(code << 16);
    }

    /** {@return decode(encode(value))} */
    public static float roundTrip(float value) {
        return decode(encode(value));
    }
}
