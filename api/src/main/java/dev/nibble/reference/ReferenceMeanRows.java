package dev.nibble.reference;

/** Means of groups of rows, and their gradient. */
public final class ReferenceMeanRows {
    private ReferenceMeanRows() {}

    /**
     * {@code y[g] = (Σ_i x[g · group + i]) · (1 / group)} for groups {@code from} to {@code to - 1}; each sum starts with
     * the first row, the others are added ascending in FP32.
     *
     * @param x [groups · group, width]
     * @param y [groups, width]
     */
    public static void forward(float[] x, int group, int width, int from, int to, float[] y) {
        float inverse = 1f / group;
        for (int g = from; g < to; g++) {
            int target = g * width;
            int first = g * group * width; // below the length of x
            System.arraycopy(x, first, y, target, width);
            for (int row = 1; row < group; row++) {
                int source = first + row * width;
                for (int i = 0; i < width; i++) {
                    y[target + i] += x[source + i];
                }
            }
            for (int i = 0; i < width; i++) {
                y[target + i] *= inverse;
            }
        }
    }

    /**
     * {@code dx[g · group + i] = dy[g] · (1 / group)} for groups {@code from} to {@code to - 1}.
     *
     * @param gradOutput dy, [groups, width]
     * @param gradX [groups · group, width]
     */
    public static void backward(float[] gradOutput, int group, int width, int from, int to, float[] gradX) {
        float inverse = 1f / group;
        for (int g = from; g < to; g++) {
            int source = g * width;
            int first = g * group * width; // below the length of gradX
            for (int i = 0; i < width; i++) {
                gradX[first + i] = gradOutput[source + i] * inverse;
            }
            for (int row = 1; row < group; row++) {
                System.arraycopy(gradX, first, gradX, first + row * width, width);
            }
        }
    }
}
