package dev.nibble.reference;

import dev.nibble.quant.Statistic;
import java.util.Arrays;

/** Decisions and statistics over the amax of each block of a tensor. */
public final class BlockMetric {
    private BlockMetric() {}

    /** {@return whether a block has a residual: its amax is finite, at least 2^-119, and above the threshold} */
    public static boolean flagged(float amax, float threshold) {
        return amax > threshold && amax >= GroupScale.SMALLEST_AMAX && Float.isFinite(amax);
    }

    /**
     * {@return the nearest-rank quantile: the value of rank ceil(quantile · blocks), at least 1, in ascending order; NaN
     * is the largest}
     *
     * @param amaxes [blocks], not modified
     * @param quantile in [0, 1]
     */
    public static float quantile(float[] amaxes, double quantile) {
        float[] sorted = amaxes.clone(); // [blocks]
        Arrays.sort(sorted);
        int rank = Math.max(1, (int) Math.ceil(quantile * sorted.length));
        return sorted[rank - 1];
    }

    /**
     * {@return the largest amax over the median (the nearest-rank quantile 0.5); 0 if all are 0}
     *
     * @param amaxes [blocks], not modified
     */
    public static float outlierRatio(float[] amaxes) {
        float largest = quantile(amaxes, 1);
        return largest == 0 ? 0 : largest / quantile(amaxes, 0.5);
    }

    /**
     * Writes the {@link Statistic}s of a tensor without a residual plane.
     *
     * @param amax max|x|
     * @param out [{@link Statistic#count()}]
     */
    public static void write(float amax, float[] out) {
        Arrays.fill(out, 0, Statistic.count(), 0f);
        out[Statistic.AMAX.ordinal()] = Float.isNaN(amax) ? Float.NaN : amax;
    }

    /**
     * Writes the {@link Statistic}s of a tensor with a residual plane.
     *
     * @param amaxes of the blocks, [blocks]
     * @param flagged how many of them have a residual
     * @param threshold what decided it
     * @param out [{@link Statistic#count()}]
     */
    public static void write(float[] amaxes, int flagged, float threshold, float[] out) {
        write(quantile(amaxes, 1), out);
        out[Statistic.FALLBACK_RATE.ordinal()] = (float) flagged / amaxes.length;
        out[Statistic.THRESHOLD.ordinal()] = threshold;
        out[Statistic.OUTLIER_RATIO.ordinal()] = outlierRatio(amaxes);
    }
}
