package dev.nibble.spi;

import dev.nibble.tensor.Shape;

/**
 * Sizes of a cache of keys and values: what attention has seen of some sequences. Of head t = sequence · heads + head, row 2t of
 * the cache holds the keys, [headSize, capacity], and row 2t + 1 the values, [capacity, headSize].
 *
 * @param batch sequences
 * @param capacity positions of each sequence
 * @param heads attention heads
 * @param headSize features of a head, even
 * @param rotaryBase base of the angles by which q and k turn, usually 10000; 0 for a model that does not turn them
 */
public record KeyValueShape(int batch, int capacity, int heads, int headSize, float rotaryBase) {
    /** Checks the sizes. */
    public KeyValueShape {
        if (batch < 1 || capacity < 1 || heads < 1 || headSize < 2 || headSize % 2 != 0) {
            throw new IllegalArgumentException(
                    "a cache of keys and values needs positive sizes and an even head size, but got batch " + batch
                            + ", capacity " + capacity + ", heads " + heads + ", head size " + headSize);
        }
        if (!(rotaryBase >= 0 && Float.isFinite(rotaryBase))) {
            throw new IllegalArgumentException(
                    "the rotary base is " + rotaryBase + ", but must be 0 (no rotation) or a finite number above");
        }
    }

    /** {@return the shape of the cache} */
    public Shape cache() {
        return Shape.of(2L * batch * heads, (long) capacity * headSize);
    }

    /** {@return the shape of attention over whole sequences of this capacity} */
    public AttentionShape sequences() {
        return new AttentionShape(batch, capacity, heads, headSize);
    }
}
