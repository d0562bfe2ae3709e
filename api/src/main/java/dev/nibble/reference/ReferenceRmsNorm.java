package dev.nibble.reference;

import java.util.Arrays;

/**
 * RMSNorm (Zhang and Sennrich 2019, arXiv:1910.07467) and its gradient. Sums along a row have the order of
 * {@link LaneSum}.
 */
public final class ReferenceRmsNorm {
    private ReferenceRmsNorm() {}

    /**
     * {@code r = 1 / sqrt(Σx² / width + epsilon)}, each operation rounded to FP32; {@code y = (x · r) · weight}; for
     * rows {@code from} to {@code to - 1}.
     *
     * @param x [rows, width]
     * @param weight [width]
     * @param y [rows, width]
     * @param inverseRms r, [rows]
     */
    public static void forward(
            float[] x, float[] weight, float epsilon, int from, int to, float[] y, float[] inverseRms) {
        int width = weight.length;
        for (int row = from; row < to; row++) {
            int start = row * width;
            float mean = LaneSum.dot(x, start, x, start, width) / width;
            float r = 1f / (float) Math.sqrt(mean + epsilon);
            inverseRms[row] = r;
            for (int i = 0; i < width; i++) {
                y[start + i] = x[start + i] * r * weight[i];
            }
        }
    }

    /**
     * {@code dx = r · (g - (x · r) · c)} with {@code g = gradOutput · weight} and {@code c = r · Σ(g · x) / width}, for
     * rows {@code from} to {@code to - 1}; the last difference is a fused multiply-add.
     *
     * @param gradOutput [rows, width]
     * @param x [rows, width]
     * @param inverseRms r, [rows]
     * @param weight [width]
     * @param gradX dx, [rows, width]
     */
    public static void gradX(
            float[] gradOutput, float[] x, float[] inverseRms, float[] weight, int from, int to, float[] gradX) {
        int width = weight.length;
        for (int row = from; row < to; row++) {
            int start = row * width;
            for (int i = 0; i < width; i++) {
                gradX[start + i] = gradOutput[start + i] * weight[i];
            }
            float r = inverseRms[row];
            float c = r * (LaneSum.dot(gradX, start, x, start, width) / width);
            for (int i = 0; i < width; i++) {
                gradX[start + i] = r * Math.fma(-c, x[start + i] * r, gradX[start + i]);
            }
        }
    }

    /**
     * Part of the weight's gradient: {@code partial = Σ gradOutput · (x · r)} over rows {@code from} to {@code to - 1},
     * rows ascending, fused multiply-adds.
     *
     * @param gradOutput [rows, width]
     * @param x [rows, width]
     * @param inverseRms r, [rows]
     * @param partials [chunks, width]; row {@code from / 64} is overwritten
     */
    public static void gradWeightPartial(
            float[] gradOutput, float[] x, float[] inverseRms, int width, int from, int to, float[] partials) {
        int out = from / Tasks.CHUNK_ROWS * width;
        Arrays.fill(partials, out, out + width, 0f);
        for (int row = from; row < to; row++) {
            int start = row * width;
            float r = inverseRms[row];
            for (int i = 0; i < width; i++) {
                partials[out + i] = Math.fma(gradOutput[start + i], x[start + i] * r, partials[out + i]);
            }
        }
    }

    /**
     * Adds the parts to {@code gradWeight}: first to each other, chunks ascending, then their sum.
     *
     * @param partials [chunks, width]
     * @param gradWeight [width], added to
     */
    public static void addPartials(float[] partials, int chunks, float[] gradWeight) {
        int width = gradWeight.length;
        for (int i = 0; i < width; i++) {
            float sum = 0;
            for (int chunk = 0; chunk < chunks; chunk++) {
                sum += partials[chunk * width + i];
            }
            gradWeight[i] += sum;
        }
    }
}
