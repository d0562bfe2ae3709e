package dev.nibble.reference;

import java.util.Arrays;

/**
 * Attention of one head of one sequence, causal or not, and its gradient. All dot products along a head and all sums over keys
 * or queries are chains of FP32 fused multiply-adds from 0, index ascending; the softmax's sum and {@code Σ
 * gradOutput · output} have the order of {@link LaneSum}. No number depends on tokens that the mask hides, not even
 * on NaN.
 */
public final class ReferenceAttention {
    private ReferenceAttention() {}

    /** {@return log of the softmax's denominator: maximum + log(sum), rounded from FP64} */
    public static float logSumExp(float maximum, float sum) {
        return (float) (maximum + StrictMath.log(sum));
    }

    /**
     * {@code s = (q · k) · scale; p = exp(s - max s); out = (Σ p · v) · (1 / Σp)}.
     *
     * @param qkv packed
     * @param head which part of the tensors
     * @param out [tokens, width]
     * @param logs [batch, heads, sequence]: log of the softmax's denominator
     */
    public static void forward(float[] qkv, AttentionHead head, float[] out, float[] logs) {
        float[] p = new float[head.sequence()]; // [keys]
        int size = head.size();
        for (int i = 0; i < head.sequence(); i++) {
            int keys = head.keys(i);
            float maximum = Float.NEGATIVE_INFINITY;
            for (int j = 0; j < keys; j++) {
                p[j] = chain(qkv, head.q(i), qkv, head.k(j), size) * head.scale();
                maximum = Math.max(maximum, p[j]);
            }
            for (int j = 0; j < keys; j++) {
                p[j] = Exp.exp(p[j] - maximum);
            }
            float sum = LaneSum.sum(p, 0, keys);
            logs[head.log(i)] = logSumExp(maximum, sum);
            int target = head.output(i);
            Arrays.fill(out, target, target + size, 0f);
            for (int j = 0; j < keys; j++) {
                addScaled(p[j], qkv, head.v(j), out, target, size);
            }
            float inverseSum = 1f / sum;
            for (int d = 0; d < size; d++) {
                out[target + d] *= inverseSum;
            }
        }
    }

    /**
     * {@code p = exp(s - log); dS = (p · (dP - D)) · scale} with {@code dP = gradOutput · v}, {@code D = Σ gradOutput ·
     * out}; {@code dq = Σ_keys dS · k; dk = Σ_queries dS · q; dv = Σ_queries p · gradOutput}.
     *
     * @param gradOutput [tokens, width]
     * @param qkv packed
     * @param out result of the forward pass
     * @param logs its logs
     * @param head which part of the tensors
     * @param gradQkv packed; the features of this head are overwritten
     */
    public static void backward(
            float[] gradOutput, float[] qkv, float[] out, float[] logs, AttentionHead head, float[] gradQkv) {
        int size = head.size();
        for (int i = 0; i < head.sequence(); i++) {
            Arrays.fill(gradQkv, head.q(i), head.q(i) + size, 0f);
            Arrays.fill(gradQkv, head.k(i), head.k(i) + size, 0f);
            Arrays.fill(gradQkv, head.v(i), head.v(i) + size, 0f);
        }
        for (int i = 0; i < head.sequence(); i++) {
            int grad = head.output(i);
            float rowDot = LaneSum.dot(gradOutput, grad, out, grad, size);
            for (int j = 0; j < head.keys(i); j++) {
                float s = chain(qkv, head.q(i), qkv, head.k(j), size) * head.scale();
                float p = Exp.exp(s - logs[head.log(i)]);
                float gradP = chain(gradOutput, grad, qkv, head.v(j), size);
                float gradS = p * (gradP - rowDot) * head.scale();
                addScaled(gradS, qkv, head.k(j), gradQkv, head.q(i), size);
                addScaled(gradS, qkv, head.q(i), gradQkv, head.k(j), size);
                addScaled(p, gradOutput, grad, gradQkv, head.v(j), size);
            }
        }
    }

    private static float chain(float[] a, int aFrom, float[] b, int bFrom, int length) {
        float sum = 0;
        for (int i = 0; i < length; i++) {
            sum = Math.fma(a[aFrom + i], b[bFrom + i], sum);
        }
        return sum;
    }

    private static void addScaled(float factor, float[] x, int from, float[] target, int to, int length) {
        for (int i = 0; i < length; i++) {
            target[to + i] = Math.fma(factor, x[from + i], target[to + i]);
        }
    }
}
