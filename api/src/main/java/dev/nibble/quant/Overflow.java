package dev.nibble.quant;

/**
 * What an FP8 code is made of a scaled value beyond the largest finite one (arXiv:2209.05433 and the libraries in use).
 * NaN always stays NaN. Other formats saturate.
 */
public enum Overflow {
    /** Finite and infinite values give ± the largest code: the usual choice for training. */
    SATURATE,
    /** Clamps to ± the largest value before the cast, as libraries whose cast does not saturate do: the same codes. */
    CLAMP,
    /** Finite values saturate; infinity stays infinity (E5M2) or becomes NaN (E4M3), so that a scaler of the loss sees it. */
    PAPER,
    /** Finite values overflow too: to infinity (E5M2) or NaN (E4M3). */
    INFINITY
}
