package dev.nibble.spi;

/**
 * Sizes of multi-head self-attention. A packed tensor [batch · sequence, 3 · heads · headSize] holds q, k and v of all
 * heads, in this order.
 *
 * @param batch sequences
 * @param sequence tokens of each sequence
 * @param heads attention heads
 * @param headSize features of a head, even
 * @param causal whether a token sees only itself and those before it; else it sees its whole sequence
 */
public record AttentionShape(int batch, int sequence, int heads, int headSize, boolean causal) {
    /** Checks the sizes. */
    public AttentionShape {
        if (batch < 1 || sequence < 1 || heads < 1 || headSize < 2 || headSize % 2 != 0) {
            throw new IllegalArgumentException("attention needs positive sizes and an even head size, but got batch "
                    + batch + ", sequence " + sequence + ", heads " + heads + ", head size " + headSize);
        }
    }

    /** Makes the shape of causal attention. */
    public AttentionShape(int batch, int sequence, int heads, int headSize) {
        this(batch, sequence, heads, headSize, true);
    }

    /** {@return rows of the packed tensor} */
    public long tokens() {
        return (long) batch * sequence;
    }

    /** {@return features of the output: heads · headSize} */
    public int width() {
        return heads * headSize;
    }
}
