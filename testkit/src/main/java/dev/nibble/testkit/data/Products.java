package dev.nibble.testkit.data;

/** Matrix products in FP64, to compare others with. */
public final class Products {
    private Products() {}

    /**
     * {@return a · bᵀ, [m, n]}
     *
     * @param a [m, k]
     * @param b [n, k]
     */
    public static double[] timesTransposed(double[] a, double[] b, int m, int n, int k) {
        double[] out = new double[m * n]; // [m, n]
        double[] columns = new double[n * k]; // [k, n]
        for (int col = 0; col < n; col++) {
            for (int i = 0; i < k; i++) {
                columns[i * n + col] = b[col * k + i];
            }
        }
        for (int row = 0; row < m; row++) {
            for (int i = 0; i < k; i++) {
                double left = a[row * k + i];
                if (left != 0) {
                    for (int col = 0; col < n; col++) {
                        out[row * n + col] += left * columns[i * n + col];
                    }
                }
            }
        }
        return out;
    }

    /** {@return the magnitudes of the elements} */
    public static double[] magnitudes(double[] x) {
        double[] out = new double[x.length]; // [elements]
        for (int i = 0; i < x.length; i++) {
            out[i] = Math.abs(x[i]);
        }
        return out;
    }

    /**
     * {@return the transpose, [cols, rows]}
     *
     * @param x [rows, cols]
     */
    public static double[] transposed(double[] x, int rows, int cols) {
        double[] out = new double[x.length]; // [cols, rows]
        for (int row = 0; row < rows; row++) {
            for (int col = 0; col < cols; col++) {
                out[col * rows + row] = x[row * cols + col];
            }
        }
        return out;
    }
}
