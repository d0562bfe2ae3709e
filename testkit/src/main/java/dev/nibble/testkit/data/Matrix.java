package dev.nibble.testkit.data;

import dev.nibble.random.Purpose;
import dev.nibble.random.RandomStream;
import dev.nibble.tensor.Role;
import java.util.Arrays;

/**
 * A matrix on the host.
 *
 * @param values [rows, cols], row-major
 * @param rows its rows
 * @param cols its columns
 */
public record Matrix(float[] values, int rows, int cols) {
    /** Checks that the values fill the shape. */
    public Matrix {
        if (values.length != (long) rows * cols) {
            throw new IllegalArgumentException("a matrix [%d, %d] needs %d values, but got %d"
                    .formatted(rows, cols, (long) rows * cols, values.length));
        }
    }

    /** What an element becomes. */
    @FunctionalInterface
    public interface Element {
        /** {@return the new value of the element at [row, col]} */
        float of(int row, int col, float value);
    }

    /** {@return a matrix of zeros} */
    public static Matrix zeros(int rows, int cols) {
        return new Matrix(new float[Math.multiplyExact(rows, cols)], rows, cols);
    }

    /**
     * {@return independent normal numbers of mean 0} Pairs by Box and Muller 1958, from the kit's own random stream.
     *
     * @param seed fixes them
     * @param deviation standard deviation
     */
    public static Matrix normal(long seed, int rows, int cols, double deviation) {
        Matrix matrix = zeros(rows, cols);
        RandomStream stream = new RandomStream(seed, 0, 0, 0, Role.OTHER, Purpose.INITIAL_WEIGHT, 0);
        float[] values = matrix.values; // [rows, cols]
        for (int i = 0; i < values.length; i += 2) {
            double radius = Math.sqrt(-2 * Math.log(stream.uniform(i) + (double) RandomStream.UNIT));
            double angle = 2 * Math.PI * stream.uniform(i + 1L);
            values[i] = (float) (deviation * radius * Math.cos(angle));
            if (i + 1 < values.length) {
                values[i + 1] = (float) (deviation * radius * Math.sin(angle));
            }
        }
        return matrix;
    }

    /** {@return the element at a place} */
    public float at(int row, int col) {
        return values[row * cols + col];
    }

    /** {@return the elements, each through a function} */
    public Matrix map(Element function) {
        float[] out = new float[values.length]; // [rows, cols]
        for (int i = 0; i < out.length; i++) {
            out[i] = function.of(i / cols, i % cols, values[i]);
        }
        return new Matrix(out, rows, cols);
    }

    /** {@return this matrix with one element replaced} */
    public Matrix with(int index, float value) {
        float[] out = values.clone(); // [rows, cols]
        out[index] = value;
        return new Matrix(out, rows, cols);
    }

    /** {@return the transpose, [cols, rows]} */
    public Matrix transposed() {
        float[] out = new float[values.length]; // [cols, rows]
        for (int row = 0; row < rows; row++) {
            for (int col = 0; col < cols; col++) {
                out[col * rows + row] = at(row, col);
            }
        }
        return new Matrix(out, cols, rows);
    }

    /** {@return the largest magnitude; NaN if an element is NaN, 0 of an empty matrix} */
    public float amax() {
        float amax = 0;
        for (float value : values) {
            amax = Math.max(amax, Math.abs(value));
        }
        return amax;
    }

    /** {@return the elements in FP64, [rows, cols]} */
    public double[] wide() {
        double[] out = new double[values.length]; // [rows, cols]
        Arrays.setAll(out, i -> values[i]);
        return out;
    }
}
