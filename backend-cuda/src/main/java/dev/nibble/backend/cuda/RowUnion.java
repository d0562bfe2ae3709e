package dev.nibble.backend.cuda;

/**
 * Tokens with a code other than 0: addresses of device memory that lives until the scope ends.
 *
 * @param union INT32 [tokens], ascending; -1 behind them
 * @param unionCount INT32 [1]
 */
record RowUnion(long union, long unionCount) {}
