package dev.nibble.reference;

import dev.nibble.spi.AttentionShape;

/**
 * Where one head of one sequence lies in a packed tensor [tokens, 3 · width] and in the output [tokens, width].
 *
 * @param task batch · heads + head
 * @param sequence tokens
 * @param size features
 * @param width features of all heads
 * @param scale 1 / sqrt(size), rounded from FP64: factor of the scores
 * @param causal whether a token sees only itself and those before it
 */
public record AttentionHead(
        int task, int sequence, int size, int width, float scale, boolean causal, int firstToken, int firstFeature) {
    /** {@return the head with this number: batch · heads + head} */
    public static AttentionHead of(AttentionShape shape, int task) {
        return new AttentionHead(
                task,
                shape.sequence(),
                shape.headSize(),
                shape.width(),
                (float) (1 / Math.sqrt(shape.headSize())),
                shape.causal(),
                task / shape.heads() * shape.sequence(),
                task % shape.heads() * shape.headSize());
    }

    /** {@return index of the first feature of q at a position of a packed tensor} */
    public int q(int position) {
        return (firstToken + position) * 3 * width + firstFeature;
    }

    /** {@return index of the first feature of k at a position of a packed tensor} */
    public int k(int position) {
        return q(position) + width;
    }

    /** {@return index of the first feature of v at a position of a packed tensor} */
    public int v(int position) {
        return q(position) + 2 * width;
    }

    /** {@return index of the first feature at a position of the output} */
    public int output(int position) {
        return (firstToken + position) * width + firstFeature;
    }

    /** {@return how many keys the query at a position sees: those from 0 on} */
    public int keys(int position) {
        return causal ? position + 1 : sequence;
    }

    /** {@return index of a position in the logs, [batch, heads, sequence]} */
    public int log(int position) {
        return task * sequence + position;
    }
}
