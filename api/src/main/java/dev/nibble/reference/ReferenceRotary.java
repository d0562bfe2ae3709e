package dev.nibble.reference;

import dev.nibble.spi.AttentionShape;

/**
 * Rotary position embedding (Su et al. 2021, arXiv:2104.09864). Angles {@code p · base^(-2i/headSize)} and their
 * cosines and sines are computed in FP64 and rounded to FP32 once.
 */
public final class ReferenceRotary {
    private final int sequence;
    private final int headSize;
    private final float base;
    private final float[] cos; // [sequence, headSize / 2]
    private final float[] sin; // [sequence, headSize / 2]

    /** Computes the table for one shape. */
    public ReferenceRotary(AttentionShape shape, float base) {
        this.sequence = shape.sequence();
        this.headSize = shape.headSize();
        this.base = base;
        int half = headSize / 2;
        cos = new float[Math.multiplyExact(sequence, half)];
        sin = new float[Math.multiplyExact(sequence, half)];
        for (int i = 0; i < half; i++) {
            double frequency = StrictMath.pow(base, -2.0 * i / headSize);
            for (int position = 0; position < sequence; position++) {
                cos[position * half + i] = (float) StrictMath.cos(position * frequency);
                sin[position * half + i] = (float) StrictMath.sin(position * frequency);
            }
        }
    }

    /** {@return whether the table is the one of this shape} */
    public boolean serves(AttentionShape shape, float otherBase) {
        return sequence == shape.sequence() && headSize == shape.headSize() && base == otherBase;
    }

    /** {@return cosines of the angles, [sequence, headSize / 2]} */
    public float[] cosines() {
        return cos;
    }

    /** {@return sines of the angles, [sequence, headSize / 2]} */
    public float[] sines() {
        return sin;
    }

    /**
     * Turns q and k of tokens {@code from} to {@code to - 1} in place: {@code a' = fma(a, cos, -(b · sin))}, {@code
     * b' = fma(b, cos, a · sin)}; the sine changes its sign if {@code inverse}.
     *
     * @param qkv packed, [tokens, 3 · heads · headSize]
     */
    public void rotate(float[] qkv, int heads, int from, int to, boolean inverse) {
        for (int token = from; token < to; token++) {
            turn(qkv, heads, token, token % sequence, inverse);
        }
    }

    /**
     * Turns q and k of one token in place, as {@link #rotate} does.
     *
     * @param qkv packed, [tokens, 3 · heads · headSize]
     * @param position of the token in its sequence
     */
    void turn(float[] qkv, int heads, int token, int position, boolean inverse) {
        int half = headSize / 2;
        float sign = inverse ? -1f : 1f;
        int angles = position * half;
        int start = token * 3 * heads * headSize;
        for (int head = 0; head < 2 * heads; head++) { // q, then k
            int first = start + head * headSize;
            for (int i = 0; i < half; i++) {
                float c = cos[angles + i];
                float s = sign * sin[angles + i];
                float a = qkv[first + i];
                float b = qkv[first + half + i];
                qkv[first + i] = Math.fma(a, c, -(b * s));
                qkv[first + half + i] = Math.fma(b, c, a * s);
            }
        }
    }
}
