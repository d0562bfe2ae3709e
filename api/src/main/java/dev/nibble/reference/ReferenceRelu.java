package dev.nibble.reference;

/** The rectifier and its gradient. A NaN in x reaches both results: neither makes a number of it. */
public final class ReferenceRelu {
    private ReferenceRelu() {}

    /** {@code y = max(x, +0)} for elements {@code from} to {@code to - 1}: +0 for -0, NaN for NaN. */
    public static void forward(float[] x, int from, int to, float[] y) {
        for (int i = from; i < to; i++) {
            y[i] = Math.max(x[i], 0f);
        }
    }

    /** {@code dx = y <= 0 ? +0 : dy} for elements {@code from} to {@code to - 1}. */
    public static void backward(float[] gradOutput, float[] y, int from, int to, float[] gradX) {
        for (int i = from; i < to; i++) {
            gradX[i] = y[i] <= 0f ? 0f : gradOutput[i];
        }
    }
}
