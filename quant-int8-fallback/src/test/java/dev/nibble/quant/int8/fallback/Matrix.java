package dev.nibble.quant.int8.fallback;

import java.util.SplittableRandom;

/**
 * A matrix for tests.
 *
 * @param values [rows, cols], row-major
 * @param rows its rows
 * @param cols its columns
 */
record Matrix(float[] values, int rows, int cols) {
    static Matrix normal(SplittableRandom random, int rows, int cols, float deviation) {
        float[] values = new float[rows * cols]; // [rows, cols]
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) (deviation * random.nextGaussian());
        }
        return new Matrix(values, rows, cols);
    }

    float at(int row, int col) {
        return values[row * cols + col];
    }

    Matrix transposed() {
        float[] out = new float[values.length]; // [cols, rows]
        for (int row = 0; row < rows; row++) {
            for (int col = 0; col < cols; col++) {
                out[col * rows + row] = at(row, col);
            }
        }
        return new Matrix(out, cols, rows);
    }

    /** {@return this · otherᵀ in FP64, [rows, other.rows]} */
    double[] timesTransposed(Matrix other) {
        double[] out = new double[rows * other.rows]; // [rows, other.rows]
        float[] right = other.transposed().values; // [cols, other.rows]
        for (int row = 0; row < rows; row++) {
            for (int k = 0; k < cols; k++) {
                double left = at(row, k);
                for (int col = 0; col < other.rows; col++) {
                    out[row * other.rows + col] += left * right[k * other.rows + col];
                }
            }
        }
        return out;
    }

    /** {@return the elements, each through a function} */
    Matrix map(ElementFunction function) {
        float[] out = new float[values.length]; // [rows, cols]
        for (int i = 0; i < out.length; i++) {
            out[i] = function.apply(i / cols, i % cols, values[i]);
        }
        return new Matrix(out, rows, cols);
    }

    /** What an element becomes. */
    @FunctionalInterface
    interface ElementFunction {
        float apply(int row, int col, float value);
    }
}
