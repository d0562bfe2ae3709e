package dev.nibble.quant;

/**
 * Which axis of a logical matrix [rows, cols] a product sums over. An operand always lies with the contraction
 * contiguous, so the second form is the transpose of the first.
 */
public enum Contraction {
    /** Sums over the columns: the operand is the matrix itself, [rows, cols]. */
    COLUMNS,
    /** Sums over the rows: the operand is the transpose, [cols, rows]. */
    ROWS
}
