package dev.nibble.backend.cuda;

/**
 * Tokens that enter the gradient of the input, and with which weight: addresses of device memory that lives until the scope ends.
 *
 * @param weights FP32 [terms][tokens]: 1/p of a token that is kept, 0 of one left out; 1 where nothing could be drawn
 * @param union INT32 [tokens]: the tokens that a term keeps, ascending; -1 behind them
 * @param unionCount INT32 [1]
 * @param rows INT32 [terms][tokens]: those of each term, ascending; -1 behind them
 * @param counts INT32 [terms]
 */
record RowDraw(long weights, long union, long unionCount, long rows, long counts) {}
