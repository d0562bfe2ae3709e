package dev.nibble.reference;

import dev.nibble.quant.Contraction;
import dev.nibble.quant.Granularity;

/**
 * Which scale an element of a logical matrix [rows, cols] has in the operand for one contraction. Scales lie
 * [kGroups][rowGroups].
 *
 * @param contraction which axis is contracted
 * @param groupRows operand rows that share a scale
 * @param groupK how far along the contraction a scale reaches
 * @param rowGroups scales down the operand's rows
 * @param kGroups scales along the contraction
 */
public record ScaleGrid(Contraction contraction, int groupRows, int groupK, int rowGroups, int kGroups) {
    /**
     * {@return the grid of an operand}
     *
     * @param contraction which axis of the logical matrix is contracted
     * @param granularity which elements of the operand share a scale
     * @param rows rows of the logical matrix
     * @param cols columns of the logical matrix
     */
    public static ScaleGrid of(Contraction contraction, Granularity granularity, int rows, int cols) {
        boolean columns = contraction == Contraction.COLUMNS;
        int operandRows = columns ? rows : cols;
        int k = columns ? cols : rows;
        return new ScaleGrid(
                contraction,
                (int) granularity.groupRows(operandRows),
                (int) granularity.groupK(k),
                (int) granularity.rowGroups(operandRows),
                (int) granularity.kGroups(k));
    }

    /** {@return the number of scales} */
    public int groups() {
        return rowGroups * kGroups;
    }

    /** {@return the index of the scale of element [row, col] of the logical matrix} */
    public int group(int row, int col) {
        return contraction == Contraction.COLUMNS
                ? col / groupK * rowGroups + row / groupRows
                : row / groupK * rowGroups + col / groupRows;
    }

    /**
     * {@return max|element| of each group, in the grid's order; NaN if an element is NaN}
     *
     * @param elements [rows, cols]
     */
    public float[] amaxes(float[] elements, int rows, int cols) {
        float[] amaxes = new float[groups()]; // [kGroups][rowGroups]
        for (int row = 0; row < rows; row++) {
            for (int col = 0; col < cols; col++) {
                int group = group(row, col);
                amaxes[group] = Math.max(amaxes[group], Math.abs(elements[row * cols + col]));
            }
        }
        return amaxes;
    }

    /** {@return the grid's values in the order of the other contraction's grid: [rowGroups][kGroups]} */
    public float[] transpose(float[] values) {
        float[] transposed = new float[values.length]; // [rowGroups][kGroups]
        for (int k = 0; k < kGroups; k++) {
            for (int row = 0; row < rowGroups; row++) {
                transposed[row * kGroups + k] = values[k * rowGroups + row];
            }
        }
        return transposed;
    }
}
