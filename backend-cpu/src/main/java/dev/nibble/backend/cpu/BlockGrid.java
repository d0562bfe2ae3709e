package dev.nibble.backend.cpu;

import dev.nibble.quant.Contraction;
import dev.nibble.reference.ScaleGrid;

/**
 * The groups of a {@link ScaleGrid} as blocks of the logical matrix, whichever axis is contracted.
 *
 * @param scales the grid; its order is the order of amaxes, scales and masks
 * @param rows rows of the matrix
 * @param cols columns of the matrix
 * @param height rows of a block; the last one may have fewer
 * @param width columns of a block; the last one may have fewer
 */
record BlockGrid(ScaleGrid scales, int rows, int cols, int height, int width) {
    static BlockGrid of(ScaleGrid scales, int rows, int cols) {
        boolean columns = scales.contraction() == Contraction.COLUMNS;
        return new BlockGrid(
                scales,
                rows,
                cols,
                Math.min(rows, columns ? scales.groupRows() : scales.groupK()),
                Math.min(cols, columns ? scales.groupK() : scales.groupRows()));
    }

    int blockRows() {
        return Math.ceilDiv(rows, height);
    }

    int blockCols() {
        return Math.ceilDiv(cols, width);
    }

    int groups() {
        return scales.groups();
    }

    /** {@return the number of a block in the grid's order} */
    int group(int blockRow, int blockCol) {
        return scales.contraction() == Contraction.COLUMNS
                ? blockCol * scales.rowGroups() + blockRow
                : blockRow * scales.rowGroups() + blockCol;
    }

    /** {@return how far the number of the block below is from that of a block} */
    int rowStep() {
        return scales.contraction() == Contraction.COLUMNS ? 1 : scales.rowGroups();
    }

    /** {@return how far the number of the block to the right is from that of a block} */
    int columnStep() {
        return scales.contraction() == Contraction.COLUMNS ? scales.rowGroups() : 1;
    }

    int rowFrom(int blockRow) {
        return blockRow * height;
    }

    int rowTo(int blockRow) {
        return rows - blockRow * height <= height ? rows : (blockRow + 1) * height;
    }

    int colFrom(int blockCol) {
        return blockCol * width;
    }

    int colTo(int blockCol) {
        return cols - blockCol * width <= width ? cols : (blockCol + 1) * width;
    }

    /** Writes the value of each column's block in one row of blocks. */
    void spread(float[] values, int blockRow, float[] out) {
        for (int blockCol = 0; blockCol < blockCols(); blockCol++) {
            float value = values[group(blockRow, blockCol)];
            int to = colTo(blockCol);
            for (int col = colFrom(blockCol); col < to; col++) {
                out[col] = value;
            }
        }
    }
}
