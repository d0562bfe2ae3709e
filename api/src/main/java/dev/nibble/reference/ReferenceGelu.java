package dev.nibble.reference;

/**
 * GELU (Hendrycks and Gimpel 2016, arXiv:1606.08415), {@code y = x · Φ(x)} with the distribution function of the normal
 * distribution, and its gradient.
 *
 * <p>{@code Φ(x) = sigmoid(P(x))} with {@code P(x) = x · (C0 + C1·x² + … + C6·x¹²)}, evaluated by Horner's rule in fused
 * multiply-adds: the odd polynomial of degree 13 whose weighted error is smallest, so that {@code |y - x · Φ(x)| < 1e-7} in exact
 * arithmetic, for any x. It grows without end, so that the sigmoid reaches 0 and 1.
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

    private static final int STRETCH = 1024; // elements between two calls of a function

    private ReferenceGelu() {}

    /** {@return the logit of Φ(x)} */
    private static float logit(float x) {
        float square = x * x;
        float p = Math.fma(C6, square, C5);
        p = Math.fma(p, square, C4);
        p = Math.fma(p, square, C3);
        p = Math.fma(p, square, C2);
        p = Math.fma(p, square, C1);
        p = Math.fma(p, square, C0);
        return x * p;
    }

    /**
     * {@code y = x · Φ(x)} for elements {@code from} to {@code to - 1}.
     *
     * @param functions gives the sigmoid
     */
    public static void forward(Exponentials functions, float[] x, int from, int to, float[] y) {
        float[] logits = new float[STRETCH]; // [stretch]
        float[] phi = new float[STRETCH]; // [stretch]
        for (int start = from; start < to; start += STRETCH) {
            int length = Math.min(STRETCH, to - start);
            for (int i = 0; i < length; i++) {
                logits[i] = logit(x[start + i]);
            }
            functions.sigmoid(logits, 0, length, phi);
            for (int i = 0; i < length; i++) {
                y[start + i] = x[start + i] * phi[i];
            }
        }
    }

    /**
     * {@code dx = dy · fma(x, DENSITY · exp(-x²/2), Φ(x))} for elements {@code from} to {@code to - 1}; the exponent is {@code
     * (x · -0.5) · x}.
     *
     * @param functions gives sigmoid and exponential
     */
    public static void backward(
            Exponentials functions, float[] gradOutput, float[] x, int from, int to, float[] gradX) {
        float[] arguments = new float[STRETCH]; // [stretch]
        float[] phi = new float[STRETCH]; // [stretch]
        float[] bell = new float[STRETCH]; // [stretch]
        for (int start = from; start < to; start += STRETCH) {
            int length = Math.min(STRETCH, to - start);
            for (int i = 0; i < length; i++) {
                arguments[i] = logit(x[start + i]);
            }
            functions.sigmoid(arguments, 0, length, phi);
            for (int i = 0; i < length; i++) {
                arguments[i] = x[start + i] * -0.5f * x[start + i];
            }
            functions.exp(arguments, 0, length, 0f, bell);
            for (int i = 0; i < length; i++) {
                gradX[start + i] = gradOutput[start + i] * Math.fma(x[start + i], DENSITY * bell[i], phi[i]);
            }
        }
    }
}
