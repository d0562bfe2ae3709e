package dev.nibble.reference;

import dev.nibble.spi.BlockCopy;

/** The copy of a block of a matrix. */
public final class ReferenceBlockCopy {
    private ReferenceBlockCopy() {}

    /**
     * Copies rows {@code from} to {@code to - 1} of the block.
     *
     * @param source [rows, sourceCols]
     * @param target [rows, targetCols]
     */
    public static void copy(
            float[] source, int sourceCols, float[] target, int targetCols, BlockCopy copy, int from, int to) {
        for (int row = from; row < to; row++) {
            int start = (copy.fromRow() + row) * sourceCols + copy.fromCol();
            if (!copy.transposed()) {
                int goal = (copy.toRow() + row) * targetCols + copy.toCol();
                System.arraycopy(source, start, target, goal, copy.cols());
                continue;
            }
            int goal = copy.toRow() * targetCols + copy.toCol() + row;
            for (int col = 0; col < copy.cols(); col++) {
                target[goal + col * targetCols] = source[start + col];
            }
        }
    }
}
