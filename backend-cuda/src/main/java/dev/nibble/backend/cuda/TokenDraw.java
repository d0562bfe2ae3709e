package dev.nibble.backend.cuda;

/**
 * Tokens that enter the gradient of the weight, in segments: number {@code j · terms + t} holds those of term t with weight 2^j, j =
 * 0..15. Addresses of device memory that lives until the scope ends.
 *
 * @param list INT32 [terms · tokens]: the tokens of one segment after the other, ascending in each; -1 behind them
 * @param bounds INT32 [16 · terms + 1]: where each segment begins; not cut at the limit of an integer sum
 */
record TokenDraw(long list, long bounds) {}
