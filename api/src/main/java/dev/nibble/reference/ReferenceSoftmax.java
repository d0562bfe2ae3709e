package dev.nibble.reference;

import java.util.Arrays;

/**
 * Softmax of rows and its gradient. Under a mask no number depends on the keys that a row does not have, not even on NaN.
 */
public final class ReferenceSoftmax {
    private ReferenceSoftmax() {}

    /** {@return how many keys a row has: those from 0 on} */
    static int keys(int row, int keys, boolean causal) {
        return causal ? row % keys + 1 : keys;
    }

    /**
     * {@code s = scores · scale; e = exp(s - max s); p = e · (1 / Σe)} for rows {@code from} to {@code to - 1}, the sum in the order of
     * {@link LaneSum}; keys that a row does not have become +0.
     *
     * @param functions gives the exponential
     * @param scores [rows, keys]
     * @param p [rows, keys]
     */
    public static void forward(
            Exponentials functions,
            float[] scores,
            int keys,
            float scale,
            boolean causal,
            int from,
            int to,
            float[] p) {
        float[] s = new float[keys]; // [keys]
        for (int row = from; row < to; row++) {
            int start = row * keys;
            int own = keys(row, keys, causal);
            float maximum = Float.NEGATIVE_INFINITY;
            for (int j = 0; j < own; j++) {
                s[j] = scores[start + j] * scale;
                maximum = Math.max(maximum, s[j]);
            }
            functions.exp(s, 0, own, maximum, s);
            float inverseSum = 1f / LaneSum.sum(s, 0, own);
            for (int j = 0; j < own; j++) {
                p[start + j] = s[j] * inverseSum;
            }
            Arrays.fill(p, start + own, start + keys, 0f);
        }
    }

    /**
     * {@code gradScores = (p · (gradOutput - Σ p · gradOutput)) · scale} for rows {@code from} to {@code to - 1}, the sum by fused
     * multiply-adds in the order of {@link LaneSum}; keys that a row does not have get +0.
     *
     * @param gradOutput [rows, keys]
     * @param p [rows, keys]
     * @param gradScores [rows, keys]
     */
    public static void backward(
            float[] gradOutput,
            float[] p,
            int keys,
            float scale,
            boolean causal,
            int from,
            int to,
            float[] gradScores) {
        for (int row = from; row < to; row++) {
            int start = row * keys;
            int own = keys(row, keys, causal);
            float mean = LaneSum.dot(p, start, gradOutput, start, own);
            for (int j = start; j < start + own; j++) {
                gradScores[j] = p[j] * (gradOutput[j] - mean) * scale;
            }
            Arrays.fill(gradScores, start + own, start + keys, 0f);
        }
    }
}
