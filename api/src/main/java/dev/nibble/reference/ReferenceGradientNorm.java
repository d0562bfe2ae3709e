package dev.nibble.reference;

/**
 * The Euclidean norm of all gradients. Squares are FP64; chunks of {@link #CHUNK} elements are summed in the order of
 * {@link LaneSum}, but in FP64 and without fused multiply-adds (a square is exact); chunks are added ascending, tensors
 * in the order given.
 */
public final class ReferenceGradientNorm {
    /** Elements of a partial sum. */
    public static final int CHUNK = 4096;

    private ReferenceGradientNorm() {}

    /** {@return Σ x[i]² over i in {@code from .. to - 1}} */
    public static double sumOfSquares(float[] x, int from, int to) {
        double[] lanes = new double[LaneSum.LANES]; // [16]
        int whole = to - (to - from) % LaneSum.LANES;
        for (int i = from; i < whole; i += LaneSum.LANES) {
            for (int lane = 0; lane < LaneSum.LANES; lane++) {
                lanes[lane] += (double) x[i + lane] * x[i + lane];
            }
        }
        for (int i = whole; i < to; i++) {
            lanes[i - whole] += (double) x[i] * x[i];
        }
        for (int half = LaneSum.LANES / 2; half > 0; half /= 2) {
            for (int lane = 0; lane < half; lane++) {
                lanes[lane] += lanes[lane + half];
            }
        }
        return lanes[0];
    }
}
