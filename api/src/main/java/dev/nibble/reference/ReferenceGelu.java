package dev.nibble.reference;

import dev.nibble.spi.Gelu;

/**
 * GELU (Hendrycks and Gimpel 2016, arXiv:1606.08415), {@code y = x · S(x)} with {@code S(x) = sigmoid(x · P(x²))}, and its gradient.
 *
 * <p>{@link Gelu#EXACT}: S stands for Φ, the distribution function of the normal distribution, and {@code P(z) = C0 + C1·z + … + C6·z⁶}
 * is evaluated by Horner's rule in fused multiply-adds. {@code x · P(x²)} is the odd polynomial of degree 13 whose weighted error is
 * smallest, so that {@code |y - x · Φ(x)| < 1e-7} in exact arithmetic, for any x. It grows without end, so that the sigmoid reaches 0 and
 * 1.
 *
 * <p>{@link Gelu#TANH}: {@code P(z) = T0 + T1·z}, since {@code (1 + tanh(a)) / 2 = sigmoid(2a)}.
 */
public final class ReferenceGelu {
    /** Coefficient of x. */
    public static final float C0 = 0x1.98844ap+0f;

    /** Coefficient of x³. */
    public static final float C1 = 0x1.29a638p-4f;

    /** Coefficient of x⁵. */
    public static final float C2 = -0x1.14ff3ep-14f;

    /** Coefficient of x⁷. */
    public static final float C3 = -0x1.cfae96p-14f;

    /** Coefficient of x⁹. */
    public static final float C4 = 0x1.0ab644p-17f;

    /** Coefficient of x¹¹. */
    public static final float C5 = -0x1.1f547cp-22f;

    /** Coefficient of x¹³. */
    public static final float C6 = 0x1.f2b3dap-29f;

    /** 1 / sqrt(2π): the normal density at 0. */
    public static final float DENSITY = 0x1.988454p-2f;

    /** 2 · sqrt(2/π): coefficient of x in the form with tanh. */
    public static final float T0 = 0x1.988454p+0f;

    /** 2 · sqrt(2/π) · 0.044715: coefficient of x³ in the form with tanh. */
    public static final float T1 = 0x1.2444f2p-4f;

    /** 6 · sqrt(2/π) · 0.044715: coefficient of x² in the slope of that form's logit. */
    public static final float T2 = 0x1.b6676cp-3f;

    private static final int STRETCH = 1024; // elements between two calls of a function

    private ReferenceGelu() {}

    /** {@return the logit of Φ(x)} */
    private static float exactLogit(float x) {
        float square = x * x;
        float p = Math.fma(C6, square, C5);
        p = Math.fma(p, square, C4);
        p = Math.fma(p, square, C3);
        p = Math.fma(p, square, C2);
        p = Math.fma(p, square, C1);
        p = Math.fma(p, square, C0);
        return x * p;
    }

    private static void logits(Gelu form, float[] x, int start, int length, float[] logits) {
        switch (form) {
            case EXACT -> {
                for (int i = 0; i < length; i++) {
                    logits[i] = exactLogit(x[start + i]);
                }
            }
            case TANH -> {
                for (int i = 0; i < length; i++) {
                    float value = x[start + i];
                    logits[i] = value * Math.fma(T1, value * value, T0);
                }
            }
        }
    }

    /**
     * {@code y = x · S(x)} for elements {@code from} to {@code to - 1}.
     *
     * @param functions gives the sigmoid
     */
    public static void forward(Exponentials functions, Gelu form, float[] x, int from, int to, float[] y) {
        float[] logits = new float[STRETCH]; // [stretch]
        float[] share = new float[STRETCH]; // [stretch]
        for (int start = from; start < to; start += STRETCH) {
            int length = Math.min(STRETCH, to - start);
            logits(form, x, start, length, logits);
            functions.sigmoid(logits, 0, length, share);
            for (int i = 0; i < length; i++) {
                y[start + i] = x[start + i] * share[i];
            }
        }
    }

    /**
     * The gradient of x for elements {@code from} to {@code to - 1}. {@link Gelu#EXACT}: {@code dx = dy · fma(x, DENSITY · exp(-x²/2),
     * S)}; the exponent is {@code (x · -0.5) · x}. {@link Gelu#TANH}: {@code dx = dy · fma(T0, t, fma(T2, (t · x) · x, S))} with {@code t =
     * x · (S · (1 - S))}, which is 0 far from 0, where x² overflows.
     *
     * @param functions gives sigmoid and exponential
     */
    public static void backward(
            Exponentials functions, Gelu form, float[] gradOutput, float[] x, int from, int to, float[] gradX) {
        float[] arguments = new float[STRETCH]; // [stretch]
        float[] share = new float[STRETCH]; // [stretch]
        float[] bell = new float[STRETCH]; // [stretch]
        for (int start = from; start < to; start += STRETCH) {
            int length = Math.min(STRETCH, to - start);
            logits(form, x, start, length, arguments);
            functions.sigmoid(arguments, 0, length, share);
            switch (form) {
                case EXACT -> exactSlopes(functions, x, start, length, share, bell, arguments);
                case TANH -> tanhSlopes(x, start, length, share, arguments);
            }
            for (int i = 0; i < length; i++) {
                gradX[start + i] = gradOutput[start + i] * arguments[i];
            }
        }
    }

    private static void exactSlopes(
            Exponentials functions, float[] x, int start, int length, float[] share, float[] bell, float[] slopes) {
        for (int i = 0; i < length; i++) {
            slopes[i] = x[start + i] * -0.5f * x[start + i];
        }
        functions.exp(slopes, 0, length, 0f, bell);
        for (int i = 0; i < length; i++) {
            slopes[i] = Math.fma(x[start + i], DENSITY * bell[i], share[i]);
        }
    }

    private static void tanhSlopes(float[] x, int start, int length, float[] share, float[] slopes) {
        for (int i = 0; i < length; i++) {
            float value = x[start + i];
            float t = value * (share[i] * (1f - share[i]));
            slopes[i] = Math.fma(T0, t, Math.fma(T2, t * value * value, share[i]));
        }
    }
}
