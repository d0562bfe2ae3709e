package dev.nibble.tensor;

/** IEEE 754 binary16. */
public final class Fp16 {
    private Fp16() {}

    /** {@return the nearest FP16, ties to even; infinity from 65520 on; NaN stays NaN} */
    public static short encode(float value) {
        return Float.floatToFloat16(value);
    }

    /** {@return the value, exactly} */
    public static float decode(short code) {
        return Float.float16ToFloat(code);
    }
}
