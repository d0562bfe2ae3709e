package dev.nibble.reference;

/**
 * The exponential function that softmax, SwiGLU and cross-entropy use, in FP32, without a table or a branch: every
 * backend that mirrors the steps lane by lane gets the same bits.
 *
 * <p>{@code n = round(x / ln 2)} (half to even), {@code r = x - n · ln 2} with ln 2 in two parts (Cody and Waite 1980),
 * a polynomial of degree 6 for {@code e^r} on |r| ≤ ln 2 / 2, and {@code 2^n} as two factors, so that neither
 * overflows. Multiply-adds are fused.
 *
 * <p>Error: below 0.9 ulp where the result is a normal number, 1 ulp where it is subnormal; measured over all floats.
 * {@code e^0 = 1}; results above the largest float are infinite, below half of the smallest 0; NaN gives NaN.
 */
public final class Exp {
    /** Arguments below give 0 like this one. */
    public static final float LOWEST = -104f;

    /** Arguments above give infinity like this one. */
    public static final float HIGHEST = 89f;

    /** 1 / ln 2. */
    public static final float INVERSE_LN2 = 0x1.715476p+0f;

    /** 1.5 · 2^23: adding it rounds to an integer, which is then in the low bits. */
    public static final float ROUNDER = 0x1.8p23f;

    /** ln 2, rounded to FP32. */
    public static final float LN2_HIGH = 0x1.62e43p-1f;

    /** What {@link #LN2_HIGH} lacks. */
    public static final float LN2_LOW = -0x1.05c61p-29f;

    /** Coefficient of r², minimax in relative error with those of higher degree. */
    public static final float C2 = 0x1.fffffcp-2f;

    /** Coefficient of r³. */
    public static final float C3 = 0x1.555492p-3f;

    /** Coefficient of r⁴. */
    public static final float C4 = 0x1.5558f2p-5f;

    /** Coefficient of r⁵. */
    public static final float C5 = 0x1.1239e2p-7f;

    /** Coefficient of r⁶. */
    public static final float C6 = 0x1.6a2434p-10f;

    private static final int BIAS = 127; // of an FP32 exponent
    private static final int MANTISSA_BITS = 23;

    private Exp() {}

    /** {@return e^x} */
    public static float exp(float x) {
        float bounded = Math.max(Math.min(x, HIGHEST), LOWEST);
        float shifted = Math.fma(bounded, INVERSE_LN2, ROUNDER);
        float n = shifted - ROUNDER;
        float r = Math.fma(n, -LN2_LOW, Math.fma(n, -LN2_HIGH, bounded));
        float p = Math.fma(C6, r, C5);
        p = Math.fma(p, r, C4);
        p = Math.fma(p, r, C3);
        p = Math.fma(p, r, C2);
        p = Math.fma(p, r, 1f);
        p = Math.fma(p, r, 1f);
        int exponent = Float.floatToRawIntBits(shifted) - Float.floatToRawIntBits(ROUNDER);
        int half = exponent >> 1;
        return p * powerOfTwo(half) * powerOfTwo(exponent - half);
    }

    private static float powerOfTwo(int exponent) {
        return Float.intBitsToFloat((exponent + BIAS) << MANTISSA_BITS);
    }
}
