package dev.nibble.reference;

/**
 * The order in which every sum along a row is taken, on every backend: element i of the row goes to partial sum i mod
 * 16, each partial sum is a chain of FP32 additions (of products: fused multiply-adds) with i ascending, starting
 * from 0, and the partial sums are folded by halves: 8 pairs (l, l + 8), then 4, 2, 1. A vector unit of 4, 8 or 16
 * lanes can follow it exactly.
 */
public final class LaneSum {
    /** Partial sums of a row. */
    public static final int LANES = 16;

    private LaneSum() {}

    /** {@return Σ a[aFrom + i] · b[bFrom + i] over i in 0..length-1} */
    public static float dot(float[] a, int aFrom, float[] b, int bFrom, int length) {
        float[] lanes = new float[LANES]; // [16]
        int whole = length - length % LANES;
        for (int i = 0; i < whole; i += LANES) {
            for (int lane = 0; lane < LANES; lane++) {
                lanes[lane] = Math.fma(a[aFrom + i + lane], b[bFrom + i + lane], lanes[lane]);
            }
        }
        for (int i = whole; i < length; i++) {
            lanes[i - whole] = Math.fma(a[aFrom + i], b[bFrom + i], lanes[i - whole]);
        }
        return fold(lanes);
    }

    /** {@return Σ x[from + i] over i in 0..length-1} */
    public static float sum(float[] x, int from, int length) {
        float[] lanes = new float[LANES]; // [16]
        int whole = length - length % LANES;
        for (int i = 0; i < whole; i += LANES) {
            for (int lane = 0; lane < LANES; lane++) {
                lanes[lane] += x[from + i + lane];
            }
        }
        for (int i = whole; i < length; i++) {
            lanes[i - whole] += x[from + i];
        }
        return fold(lanes);
    }

    /** {@return Σ |x[from + i]| over i in 0..length-1} */
    public static float magnitudes(float[] x, int from, int length) {
        float[] lanes = new float[LANES]; // [16]
        for (int i = 0; i < length; i++) {
            lanes[i % LANES] += Math.abs(x[from + i]);
        }
        return fold(lanes);
    }

    /**
     * {@return the sum of the partial sums}
     *
     * @param lanes [16], overwritten
     */
    public static float fold(float[] lanes) {
        for (int half = LANES / 2; half > 0; half /= 2) {
            for (int lane = 0; lane < half; lane++) {
                lanes[lane] += lanes[lane + half];
            }
        }
        return lanes[0];
    }
}
