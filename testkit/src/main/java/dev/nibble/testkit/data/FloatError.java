package dev.nibble.testkit.data;

/** What FP32 arithmetic costs at most. */
public final class FloatError {
    /** Half an ulp of 1: the relative error of one rounding. */
    public static final double U = 0x1p-24;

    /** The smallest FP32 number: what one rounding of a tiny result costs. */
    public static final double SMALLEST = 0x1p-149;

    private FloatError() {}

    /** {@return γ_n = n·u / (1 - n·u): the relative error of n roundings one after the other (Higham 2002, lemma 3.1)} */
    public static double gamma(long n) {
        double nu = n * U;
        return nu / (1 - nu);
    }
}
