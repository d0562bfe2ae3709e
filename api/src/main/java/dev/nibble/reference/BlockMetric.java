package dev.nibble.reference;

import dev.nibble.quant.Contraction;
import dev.nibble.quant.Criterion;
import dev.nibble.quant.Statistic;
import java.util.Arrays;

/** Decisions and statistics over the amax of each block of a tensor. */
public final class BlockMetric {
    private BlockMetric() {}

    /**
     * {@return whether a block has a residual: its metric is above the threshold, and its amax is finite and at least
     * 2^-119}
     */
    public static boolean flagged(float metric, float threshold, float amax) {
        return metric > threshold && amax >= GroupScale.SMALLEST_AMAX && Float.isFinite(amax);
    }

    /** {@return whether a block has a residual by its amax} */
    public static boolean flagged(float amax, float threshold) {
        return flagged(amax, threshold, amax);
    }

    /**
     * {@return the metric of each block}
     *
     * @param criterion which
     * @param grid the blocks of x
     * @param amaxes of the blocks, [kGroups][rowGroups]
     * @param rest what the first plane leaves over, [rows, cols]
     * @param x [rows, cols]
     */
    public static float[] of(
            Criterion criterion, ScaleGrid grid, float[] amaxes, float[] rest, float[] x, int rows, int cols) {
        return switch (criterion) {
            case ABSMAX -> amaxes;
            case L1 -> magnitudes(grid, rest, rows, cols);
            case L1_RELATIVE -> {
                float[] errors = magnitudes(grid, rest, rows, cols); // [kGroups][rowGroups]
                float[] sizes = magnitudes(grid, x, rows, cols); // [kGroups][rowGroups]
                for (int group = 0; group < errors.length; group++) {
                    errors[group] = sizes[group] == 0 ? 0 : errors[group] / sizes[group];
                }
                yield errors;
            }
        };
    }

    /** Sums |x| over each block: the rows of a block by {@link LaneSum}, then their sums by {@link LaneSum}. */
    private static float[] magnitudes(ScaleGrid grid, float[] x, int rows, int cols) {
        boolean columns = grid.contraction() == Contraction.COLUMNS;
        int height = Math.min(rows, columns ? grid.groupRows() : grid.groupK());
        int width = Math.min(cols, columns ? grid.groupK() : grid.groupRows());
        float[] sums = new float[grid.groups()]; // [kGroups][rowGroups]
        for (int row = 0; row < rows; row += height) {
            int count = Math.min(height, rows - row);
            for (int col = 0; col < cols; col += width) {
                float[] rowSums = new float[count]; // [rows of the block]
                for (int i = 0; i < count; i++) {
                    rowSums[i] = LaneSum.magnitudes(x, (row + i) * cols + col, Math.min(width, cols - col));
                }
                sums[grid.group(row, col)] = LaneSum.sum(rowSums, 0, count);
            }
        }
        return sums;
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
