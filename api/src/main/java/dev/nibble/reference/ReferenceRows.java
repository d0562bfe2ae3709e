package dev.nibble.reference;

import java.util.Arrays;

/** Rows without their means, rows plus a vector, and sums of rows. Sums along a row have the order of {@link LaneSum}. */
public final class ReferenceRows {
    private ReferenceRows() {}

    /**
     * {@code y = x - Σx / width} for rows {@code from} to {@code to - 1}, each operation rounded to FP32.
     *
     * @param x [rows, width]
     * @param y [rows, width]
     */
    public static void center(float[] x, int width, int from, int to, float[] y) {
        for (int row = from; row < to; row++) {
            int start = row * width;
            float mean = LaneSum.sum(x, start, width) / width;
            for (int i = 0; i < width; i++) {
                y[start + i] = x[start + i] - mean;
            }
        }
    }

    /**
     * {@code target += vector} for rows {@code from} to {@code to - 1}.
     *
     * @param target [rows, width]
     * @param vector [width]
     */
    public static void add(float[] target, float[] vector, int from, int to) {
        int width = vector.length;
        for (int row = from; row < to; row++) {
            int start = row * width;
            for (int i = 0; i < width; i++) {
                target[start + i] += vector[i];
            }
        }
    }

    /**
     * The sum of rows {@code from} to {@code to - 1}, rows ascending.
     *
     * @param x [rows, width]
     * @param partials [chunks, width]; row {@code from / 64} is overwritten; {@link ReferenceRmsNorm#addPartials} adds them up
     */
    public static void sumPartial(float[] x, int width, int from, int to, float[] partials) {
        int out = from / Tasks.CHUNK_ROWS * width;
        Arrays.fill(partials, out, out + width, 0f);
        for (int row = from; row < to; row++) {
            int start = row * width;
            for (int i = 0; i < width; i++) {
                partials[out + i] += x[start + i];
            }
        }
    }
}
