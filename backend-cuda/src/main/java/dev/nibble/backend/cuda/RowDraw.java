package dev.nibble.backend.cuda;

/**
 * Tokens that enter the gradient of the input, and with which weight: addresses of device memory that lives until the scope ends.
 *
 * @param tokens how many there are to draw from
 * @param weights FP32 [terms][tokens]: 1/p of a token that is kept, 0 of one left out; 1 where nothing could be drawn
 * @param union the tokens that a term keeps; -1 behind them
 * @param rows INT32 [terms][tokens]: those of each term, ascending; -1 behind them
 * @param counts INT32 [terms]
 */
record RowDraw(long tokens, long weights, RowList union, long rows, long counts) {
    /** {@return the tokens that a term keeps} */
    RowList ofTerm(int term) {
        return new RowList(rows + term * tokens * Integer.BYTES, counts + (long) term * Integer.BYTES);
    }

    /** {@return the address of the weights in a term, [tokens]} */
    long weightsOfTerm(int term) {
        return weights + term * tokens * Float.BYTES;
    }
}
