package dev.nibble.reference;

import java.util.Arrays;

/**
 * Batch normalization a column. Each operation is rounded to FP32; sums over rows are taken in chunks of {@link Tasks#CHUNK_ROWS}, as in
 * {@link ReferenceRmsNorm#addPartials}. Moments are [2, width]: means, then variances.
 */
public final class ReferenceBatchNorm {
    private ReferenceBatchNorm() {}

    /**
     * Adds up (x - mean)² of rows {@code from} to {@code to - 1}, by fused multiply-adds.
     *
     * @param x [rows, width]
     * @param moments [2, width], of which the means are read
     * @param partials [chunks, width]; row {@code from / 64} is overwritten
     */
    public static void squaresPartial(float[] x, float[] moments, int from, int to, float[] partials) {
        int width = moments.length / 2;
        int out = from / Tasks.CHUNK_ROWS * width;
        Arrays.fill(partials, out, out + width, 0f);
        for (int row = from; row < to; row++) {
            int start = row * width;
            for (int i = 0; i < width; i++) {
                float d = x[start + i] - moments[i];
                partials[out + i] = Math.fma(d, d, partials[out + i]);
            }
        }
    }

    /**
     * {@return 1 / sqrt(variance + epsilon), [width]}
     *
     * @param moments [2, width]
     */
    public static float[] inverseDeviations(float[] moments, float epsilon) {
        int width = moments.length / 2;
        float[] inverse = new float[width]; // [width]
        for (int i = 0; i < width; i++) {
            inverse[i] = 1f / (float) Math.sqrt(moments[width + i] + epsilon);
        }
        return inverse;
    }

    /**
     * {@code y = fma((x - mean) · r, weight, bias)} for rows {@code from} to {@code to - 1}.
     *
     * @param x [rows, width]
     * @param moments [2, width]
     * @param inverse r, [width]
     * @param y [rows, width]
     */
    public static void forward(
            float[] x, float[] moments, float[] inverse, float[] weight, float[] bias, int from, int to, float[] y) {
        int width = weight.length;
        for (int row = from; row < to; row++) {
            int start = row * width;
            for (int i = 0; i < width; i++) {
                y[start + i] = Math.fma((x[start + i] - moments[i]) * inverse[i], weight[i], bias[i]);
            }
        }
    }

    /**
     * Adds up dy and dy · z, z = (x - mean) · r, of rows {@code from} to {@code to - 1}.
     *
     * @param gradOutput dy, [rows, width]
     * @param x [rows, width]
     * @param moments [2, width]
     * @param inverse r, [width]
     * @param forBias [chunks, width]; row {@code from / 64} is overwritten
     * @param forWeight [chunks, width]; likewise
     */
    public static void gradientPartials(
            float[] gradOutput,
            float[] x,
            float[] moments,
            float[] inverse,
            int from,
            int to,
            float[] forBias,
            float[] forWeight) {
        int width = inverse.length;
        int out = from / Tasks.CHUNK_ROWS * width;
        Arrays.fill(forBias, out, out + width, 0f);
        Arrays.fill(forWeight, out, out + width, 0f);
        for (int row = from; row < to; row++) {
            int start = row * width;
            for (int i = 0; i < width; i++) {
                float z = (x[start + i] - moments[i]) * inverse[i];
                forBias[out + i] += gradOutput[start + i];
                forWeight[out + i] = Math.fma(gradOutput[start + i], z, forWeight[out + i]);
            }
        }
    }

    /**
     * {@code dx = (weight · r) · fma(-z, W / rows, dy - B / rows)} for rows {@code from} to {@code to - 1}.
     *
     * @param gradOutput dy, [rows, width]
     * @param x [rows, width]
     * @param moments [2, width]
     * @param inverse r, [width]
     * @param meanBias B / rows, [width]
     * @param meanWeight W / rows, [width]
     * @param gradX [rows, width]
     */
    public static void gradX(
            float[] gradOutput,
            float[] x,
            float[] moments,
            float[] inverse,
            float[] weight,
            float[] meanBias,
            float[] meanWeight,
            int from,
            int to,
            float[] gradX) {
        int width = inverse.length;
        for (int row = from; row < to; row++) {
            int start = row * width;
            for (int i = 0; i < width; i++) {
                float z = (x[start + i] - moments[i]) * inverse[i];
                float centred = gradOutput[start + i] - meanBias[i];
                gradX[start + i] = weight[i] * inverse[i] * Math.fma(-z, meanWeight[i], centred);
            }
        }
    }
}
