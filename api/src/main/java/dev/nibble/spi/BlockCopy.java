package dev.nibble.spi;

import java.util.List;

/**
 * Which block of a matrix goes where in another: {@code target[toRow + i, toCol + j] = source[fromRow + i, fromCol + j]} for
 * i below rows and j below cols, or {@code target[toRow + j, toCol + i]} of it, if transposed.
 *
 * @param rows of the block in the source, at least 1
 * @param cols of the block in the source, at least 1
 * @param fromRow first row in the source
 * @param fromCol first column in the source
 * @param toRow first row in the target
 * @param toCol first column in the target
 * @param transposed whether rows become columns
 */
public record BlockCopy(int rows, int cols, int fromRow, int fromCol, int toRow, int toCol, boolean transposed) {
    /** Checks the sizes. */
    public BlockCopy {
        if (rows < 1
                || cols < 1
                || List.of(fromRow, fromCol, toRow, toCol).stream().anyMatch(i -> i < 0)) {
            throw new IllegalArgumentException(
                    "a copy of [%d, %d] from (%d, %d) to (%d, %d) needs sizes of 1 or more and places of 0 or more"
                            .formatted(rows, cols, fromRow, fromCol, toRow, toCol));
        }
    }

    /** {@return the copy of a whole matrix to the first row and column} */
    public static BlockCopy whole(int rows, int cols) {
        return cut(rows, cols, 0, 0);
    }

    /** {@return the copy of a block to the first row and column} */
    public static BlockCopy cut(int rows, int cols, int fromRow, int fromCol) {
        return new BlockCopy(rows, cols, fromRow, fromCol, 0, 0, false);
    }

    /** {@return this copy to another place} */
    public BlockCopy to(int row, int col) {
        return new BlockCopy(rows, cols, fromRow, fromCol, row, col, transposed);
    }

    /** {@return this copy with rows made columns} */
    public BlockCopy turned() {
        return new BlockCopy(rows, cols, fromRow, fromCol, toRow, toCol, !transposed);
    }

    /** {@return rows of the block in the target} */
    public int targetRows() {
        return transposed ? cols : rows;
    }

    /** {@return columns of the block in the target} */
    public int targetCols() {
        return transposed ? rows : cols;
    }
}
