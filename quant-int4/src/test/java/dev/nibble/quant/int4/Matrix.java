package dev.nibble.quant.int4;

import java.util.SplittableRandom;

/**
 * A matrix for tests.
 *
 * @param values [rows, cols], row-major
 * @param rows its rows
 * @param cols its columns
 */
record Matrix(float[] values, int rows, int cols) {
    static Matrix zeros(int rows, int cols) {
        return new Matrix(new float[rows * cols], rows, cols);
    }

    static Matrix normal(long seed, int rows, int cols, double deviation) {
        SplittableRandom random = new SplittableRandom(seed);
        float[] values = new float[rows * cols]; // [rows, cols]
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) (deviation * random.nextGaussian());
        }
        return new Matrix(values, rows, cols);
    }

    /** {@return a copy with one element changed} */
    Matrix with(int index, float value) {
        float[] changed = values.clone(); // [rows, cols]
        changed[index] = value;
        return new Matrix(changed, rows, cols);
    }

    Matrix transposed() {
        float[] out = new float[values.length]; // [cols, rows]
        for (int row = 0; row < rows; row++) {
            for (int col = 0; col < cols; col++) {
                out[col * rows + row] = values[row * cols + col];
            }
        }
        return new Matrix(out, cols, rows);
    }

    double[] widened() {
        double[] wide = new double[values.length]; // [rows, cols]
        for (int i = 0; i < wide.length; i++) {
            wide[i] = values[i];
        }
        return wide;
    }

    /** {@return this · otherᵀ in FP64, [rows, other.rows]} */
    double[] timesTransposed(Matrix other) {
        return timesTransposed(widened(), rows, other);
    }

    /** {@return a · bᵀ in FP64, [rows, b.rows], of a [rows, b.cols]} */
    static double[] timesTransposed(double[] a, int rows, Matrix b) {
        double[] out = new double[rows * b.rows]; // [rows, b.rows]
        for (int row = 0; row < rows; row++) {
            for (int col = 0; col < b.rows; col++) {
                for (int k = 0; k < b.cols; k++) {
                    out[row * b.rows + col] += a[row * b.cols + k] * b.values[col * b.cols + k];
                }
            }
        }
        return out;
    }
}
