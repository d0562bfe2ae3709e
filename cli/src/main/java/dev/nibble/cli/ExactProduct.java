package dev.nibble.cli;

import dev.nibble.tensor.Shape;
import java.util.stream.IntStream;

/** Matrix products in FP64, and transposes: what quantized products are compared with. */
final class ExactProduct {
    private static final int LARGEST_ARRAY = Integer.MAX_VALUE - 8;

    private ExactProduct() {}

    /**
     * {@return D [M, N] = A · Bᵀ, each element summed in FP64, k ascending}
     *
     * @param a [M, K]
     * @param b [N, K]
     * @throws IllegalArgumentException if D has more elements than an array
     */
    static double[] of(NpyArray a, NpyArray b) {
        int m = (int) a.shape().rows();
        int n = (int) b.shape().rows();
        int k = (int) a.shape().cols();
        if ((long) m * n > LARGEST_ARRAY) {
            throw new IllegalArgumentException(
                    "D is [" + m + ", " + n + "], but at most " + LARGEST_ARRAY + " elements can be compared");
        }
        float[] bt = transpose(b).values(); // [K, N]: the inner loop runs along N and can be vectorized
        double[] d = new double[m * n]; // [M, N]
        IntStream.range(0, m).parallel().forEach(row -> {
            double[] sums = new double[n]; // [N]
            for (int i = 0; i < k; i++) {
                double factor = a.values()[row * k + i];
                int at = i * n;
                for (int column = 0; column < n; column++) {
                    sums[column] += factor * bt[at + column];
                }
            }
            System.arraycopy(sums, 0, d, row * n, n);
        });
        return d;
    }

    /** {@return the transpose of a matrix} */
    static NpyArray transpose(NpyArray matrix) {
        int rows = (int) matrix.shape().rows();
        int cols = (int) matrix.shape().cols();
        float[] transposed = new float[matrix.values().length]; // [cols, rows]
        for (int row = 0; row < rows; row++) {
            for (int col = 0; col < cols; col++) {
                transposed[col * rows + row] = matrix.values()[row * cols + col];
            }
        }
        return new NpyArray(Shape.of(cols, rows), transposed);
    }
}
