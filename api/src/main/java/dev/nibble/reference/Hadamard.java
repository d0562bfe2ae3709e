package dev.nibble.reference;

/** The normalised Walsh-Hadamard transform in Sylvester's order. */
public final class Hadamard {
    private Hadamard() {}

    /**
     * {@return 2^(-log2(size) / 2), rounded to FP32: what the butterflies are multiplied by}
     *
     * @param log2 of the size
     */
    public static float norm(int log2) {
        return (float) Math.sqrt(Math.scalb(1.0, -log2));
    }

    /**
     * Transforms runs in place: for stride 1, 2, 4, … {@code (a, b) = (a + b, a - b)}, then one multiplication by
     * {@link #norm}.
     *
     * @param x the elements
     * @param from first element
     * @param length elements, a multiple of 2^log2
     * @param log2 of the length of a run; 0 changes nothing
     */
    public static void transform(float[] x, int from, int length, int log2) {
        if (log2 == 0) {
            return;
        }
        int size = 1 << log2;
        for (int stride = 1; stride < size; stride *= 2) {
            for (int run = from; run < from + length; run += 2 * stride) {
                for (int i = run; i < run + stride; i++) {
                    float a = x[i];
                    float b = x[i + stride];
                    x[i] = a + b;
                    x[i + stride] = a - b;
                }
            }
        }
        float norm = norm(log2);
        for (int i = from; i < from + length; i++) {
            x[i] *= norm;
        }
    }
}
