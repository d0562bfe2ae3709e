package dev.nibble.reference;

/**
 * Sums over a whole matrix by the fixed tree: {@link LaneSum} within a row, then {@link LaneSum} over the rows' sums.
 *
 * @param meanMagnitude mean |x|
 * @param meanSquare mean x²
 */
public record Moments(float meanMagnitude, float meanSquare) {
    /**
     * {@return the moments of a matrix}
     *
     * @param x [rows, cols]
     */
    public static Moments of(float[] x, int rows, int cols) {
        float[] magnitudes = new float[rows]; // [rows]
        float[] squares = new float[rows]; // [rows]
        for (int row = 0; row < rows; row++) {
            magnitudes[row] = LaneSum.magnitudes(x, row * cols, cols);
            squares[row] = LaneSum.dot(x, row * cols, x, row * cols, cols);
        }
        return of(magnitudes, squares, (long) rows * cols);
    }

    /**
     * {@return the moments of a matrix}
     *
     * @param magnitudes Σ|x| of each row, [rows]
     * @param squares Σx² of each row, [rows]
     * @param elements of the matrix
     */
    public static Moments of(float[] magnitudes, float[] squares, long elements) {
        return new Moments(
                LaneSum.sum(magnitudes, 0, magnitudes.length) / elements,
                LaneSum.sum(squares, 0, squares.length) / elements);
    }
}
