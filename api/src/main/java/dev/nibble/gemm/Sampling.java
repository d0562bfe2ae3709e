package dev.nibble.gemm;

/**
 * Which rows (tokens) of dY enter a product of its planes.
 *
 * <p>{@link #LEVERAGE} draws each pair of a plane and a token independently. Its score is
 * {@code c = (weightA · scaleA) · ‖codesA‖}, for the weight gradient times {@code ‖codesB‖}: exact integer sums of squares, rounded to
 * FP32, then square roots, each operation rounded once. The budget is the number of tokens, out of planes · tokens.
 * <ul>
 *   <li>gradInput: {@code p = q·2^-24}, q = floor(min(1, λ·c)·2^24), at least 1 where c is not 0. A kept row has the weight
 *       {@code 1/p}: its terms are {@code acc = fma(((1/p)·(weightA·scaleA))·(weightB·scaleB), P, acc)}.
 *   <li>gradWeight: tokens are the contraction, where an integer sum takes no weight, so {@code p = 2^-j}, j = 0..15, the largest that
 *       is not above λ·c, and 2^-15 where c is smaller but not 0. For j ascending, for each term, the kept tokens ascending are
 *       one segment, cut every 131072: {@code acc = fma((2^j·(weightA·scaleA))·(weightB·scaleB), P, acc)}. There is one split.
 * </ul>
 * λ is the largest FP32 number for which Σp, an exact sum of integers, stays within the budget; if the smallest probabilities alone
 * exceed it, they stand. A row is kept iff u &lt; p, u drawn for element {@code plane · tokens + token}, role gradOutput, purposes
 * {@code SAMPLE_GRAD_INPUT} and {@code SAMPLE_GRAD_WEIGHT}. The estimate is unbiased. If a plane's scale is not finite, every row
 * enters. Source: leverage-score sampling, Xi et al. 2023, arXiv:2306.11987; powers of two are ours.
 */
public enum Sampling {
    /** Every row. */
    NONE,
    /** Every row with a code other than 0 (mode Z): the same bits as {@link #NONE}, less work. */
    NONZERO_ROWS,
    /** Rows drawn by leverage score, weighted by 1/p. One scale a tensor on both sides. */
    LEVERAGE
}
