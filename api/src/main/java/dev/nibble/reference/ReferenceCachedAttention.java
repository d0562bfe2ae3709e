package dev.nibble.reference;

import dev.nibble.spi.KeyValueShape;
import dev.nibble.spi.NeuralOps;
import java.util.Arrays;
import java.util.Optional;

/**
 * {@link NeuralOps#cachedAttention}. Every sum has the order that it has in {@link ReferenceAttention}: a row has the bits of the same row of
 * a whole sequence.
 */
public final class ReferenceCachedAttention {
    private final KeyValueShape shape;
    private final Optional<ReferenceRotary> rotary;
    private final float scale;

    /** Computes the table of angles for one shape. */
    public ReferenceCachedAttention(KeyValueShape shape) {
        this.shape = shape;
        this.rotary = shape.rotaryBase() == 0
                ? Optional.empty()
                : Optional.of(new ReferenceRotary(shape.sequences(), shape.rotaryBase()));
        this.scale = (float) (1 / Math.sqrt(shape.headSize()));
    }

    /** {@return what it was made for} */
    public KeyValueShape shape() {
        return shape;
    }

    /**
     * Turns q and k of a token, and puts k and v into the cache.
     *
     * @param qkv packed, [batch · rows, 3 · width]
     * @param row of the token
     * @param sequence of the token
     * @param place its position
     * @param cache see {@link KeyValueShape}
     */
    public void put(float[] qkv, int row, int sequence, int place, float[] cache) {
        int size = shape.headSize();
        int width = shape.heads() * size;
        rotary.ifPresent(table -> table.turn(qkv, shape.heads(), row, place, false));
        for (int head = 0; head < shape.heads(); head++) {
            int k = row * 3 * width + width + head * size;
            int keys = keys(sequence, head);
            for (int d = 0; d < size; d++) {
                cache[keys + d * shape.capacity() + place] = qkv[k + d];
            }
            System.arraycopy(qkv, k + width, cache, values(keys) + place * size, size);
        }
    }

    /**
     * {@code s = (q · k) · scale; p = exp(s - max s); out = (Σ p · v) · (1 / Σp)} over the keys of positions 0 to {@code place}.
     *
     * @param functions exponential
     * @param qkv packed, [batch · rows, 3 · width], after {@link #put}
     * @param row of the token
     * @param head of the token
     * @param sequence of the token
     * @param place its position
     * @param cache with k and v of the positions up to its own
     * @param out [batch · rows, width]
     */
    public void attend(
            Exponentials functions,
            float[] qkv,
            int row,
            int head,
            int sequence,
            int place,
            float[] cache,
            float[] out) {
        int size = shape.headSize();
        int width = shape.heads() * size;
        int seen = place + 1;
        int q = row * 3 * width + head * size;
        int keys = keys(sequence, head);
        float[] p = new float[seen]; // [keys]
        for (int d = 0; d < size; d++) {
            addScaled(qkv[q + d], cache, keys + d * shape.capacity(), p, 0, seen);
        }
        float maximum = Float.NEGATIVE_INFINITY;
        for (int j = 0; j < seen; j++) {
            p[j] *= scale;
            maximum = Math.max(maximum, p[j]);
        }
        functions.exp(p, 0, seen, maximum, p);
        int target = row * width + head * size;
        Arrays.fill(out, target, target + size, 0f);
        for (int j = 0; j < seen; j++) {
            addScaled(p[j], cache, values(keys) + j * size, out, target, size);
        }
        float inverseSum = 1f / LaneSum.sum(p, 0, seen);
        for (int d = 0; d < size; d++) {
            out[target + d] *= inverseSum;
        }
    }

    /** {@return index of the first key of a head} */
    private int keys(int sequence, int head) {
        return 2 * (sequence * shape.heads() + head) * shape.capacity() * shape.headSize();
    }

    /** {@return index of the first value of a head whose first key is at an index} */
    private int values(int keys) {
        return keys + shape.capacity() * shape.headSize();
    }

    private static void addScaled(float factor, float[] x, int from, float[] target, int to, int length) {
        for (int i = 0; i < length; i++) {
            target[to + i] = Math.fma(factor, x[from + i], target[to + i]);
        }
    }
}
