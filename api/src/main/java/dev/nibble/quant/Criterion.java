package dev.nibble.quant;

/** What of a block decides whether it falls back to a residual plane. d is what plane 0 leaves over. */
public enum Criterion {
    /** max|x|. */
    ABSMAX,
    /** Σ|d|, by the fixed tree over the block's rows. */
    L1,
    /** Σ|d| / Σ|x|; 0 for a block of zeros. */
    L1_RELATIVE
}
