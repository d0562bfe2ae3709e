package dev.nibble.reference;

/** Cross-entropy of logits with one target a row, and its gradient. */
public final class ReferenceCrossEntropy {
    private ReferenceCrossEntropy() {}

    /**
     * {@return the sum of the losses of rows {@code from} to {@code to - 1}} Each is {@code maximum + log(sum) -
     * logit[target]} in FP64, {@code sum} being {@code Σ exp(logit - maximum)} in FP32 in the order of {@link LaneSum};
     * rows are added ascending, in FP64.
     *
     * <p>With {@code gradient}, logits become {@code (exp(logit - maximum) · (1 / sum) - oneHot) · factor}.
     *
     * @param functions gives the exponential
     * @param logits [rows, vocabulary]
     * @param targets [tokens]
     * @param first token that row 0 belongs to
     */
    public static double rows(
            Exponentials functions,
            float[] logits,
            int[] targets,
            int first,
            int vocabulary,
            int from,
            int to,
            float factor,
            boolean gradient) {
        float[] p = new float[vocabulary]; // [vocabulary]
        double loss = 0;
        for (int row = from; row < to; row++) {
            int start = row * vocabulary;
            int target = targets[first + row];
            float maximum = maximum(logits, start, vocabulary);
            functions.exp(logits, start, vocabulary, maximum, p);
            float sum = LaneSum.sum(p, 0, vocabulary);
            loss += maximum + StrictMath.log(sum) - logits[start + target];
            if (gradient) {
                float inverseSum = 1f / sum;
                for (int i = 0; i < vocabulary; i++) {
                    logits[start + i] = p[i] * inverseSum * factor;
                }
                logits[start + target] = (p[target] * inverseSum - 1f) * factor;
            }
        }
        return loss;
    }

    private static float maximum(float[] x, int from, int length) {
        float maximum = Float.NEGATIVE_INFINITY;
        for (int i = 0; i < length; i++) {
            maximum = Math.max(maximum, x[from + i]);
        }
        return maximum;
    }

    /**
     * {@return the part of the rows in the mean loss of all tokens: the sums of chunks of 64 rows, added ascending in FP64, times
     * {@code weight / tokens}, rounded to FP32}
     *
     * @param partials [chunks]
     */
    public static float mean(double[] partials, int tokens, float weight) {
        double sum = 0;
        for (double partial : partials) {
            sum += partial;
        }
        return (float) (sum * weight / tokens);
    }
}
