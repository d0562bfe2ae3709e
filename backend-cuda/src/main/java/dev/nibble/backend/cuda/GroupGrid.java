package dev.nibble.backend.cuda;

import dev.nibble.quant.Contraction;
import dev.nibble.quant.Granularity;

/**
 * Which elements of a matrix [rows, cols] share a scale: rectangles of height x width. The scale of element [row, col] is number
 * {@code row / height · strideRow + col / width · strideCol}, which is the order [kGroups][rowGroups] of an operand.
 *
 * @param height rows of a rectangle
 * @param width columns of a rectangle
 * @param rowBlocks rectangles down the matrix
 * @param colBlocks rectangles across it
 * @param strideRow scales from one rectangle to the one below
 * @param strideCol scales from one rectangle to the one beside
 */
record GroupGrid(int height, int width, int rowBlocks, int colBlocks, int strideRow, int strideCol) {
    private static final int TILE = 128; // rows and columns of a tile of the kernels
    private static final int MOST_TILE_GROUPS = 1024; // as in code_call.cuh

    /**
     * {@return the grid of an operand}
     *
     * @param contraction which axis of the matrix is contracted
     * @param granularity which elements of the operand share a scale
     * @param rows rows of the matrix
     * @param cols columns of the matrix
     */
    static GroupGrid of(Contraction contraction, Granularity granularity, long rows, long cols) {
        boolean columns = contraction == Contraction.COLUMNS;
        long operandRows = columns ? rows : cols;
        long k = columns ? cols : rows;
        int groupRows = Math.toIntExact(granularity.groupRows(operandRows));
        int groupK = Math.toIntExact(granularity.groupK(k));
        int rowGroups = Math.toIntExact(granularity.rowGroups(operandRows));
        int kGroups = Math.toIntExact(granularity.kGroups(k));
        Math.multiplyExact(rowGroups, kGroups); // scales are counted in 32 bits
        return columns
                ? new GroupGrid(groupRows, groupK, rowGroups, kGroups, 1, rowGroups)
                : new GroupGrid(groupK, groupRows, kGroups, rowGroups, rowGroups, 1);
    }

    /** {@return the number of scales} */
    int groups() {
        return rowBlocks * colBlocks;
    }

    /** {@return whether each row is a rectangle} */
    boolean areRows() {
        return height == 1 && colBlocks == 1;
    }

    /** {@return whether each column is a rectangle} */
    boolean areColumns() {
        return width == 1 && rowBlocks == 1;
    }

    /** {@return whether a tile of the kernels holds whole rectangles, so that its scales can be made where it is rounded} */
    boolean fitsTile() {
        return TILE % height == 0 && TILE % width == 0 && TILE / height * (TILE / width) <= MOST_TILE_GROUPS;
    }

    /** Writes the {@code Grid} of scale.cuh. */
    Struct write(Struct struct) {
        return struct.i32(height)
                .i32(width)
                .i32(strideRow)
                .i32(strideCol)
                .i32(groups())
                .i32(rowBlocks)
                .i32(colBlocks)
                .i32(0);
    }
}
