package dev.nibble.backend.cuda;

/**
 * Rows of a matrix, in device memory.
 *
 * @param list address of their numbers, INT32, ascending; 0: all rows
 * @param count address of how many there are, INT32 [1]
 */
record RowList(long list, long count) {
    /** All rows. */
    static final RowList ALL = new RowList(0, 0);
}
