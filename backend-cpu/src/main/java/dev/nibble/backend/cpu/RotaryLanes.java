package dev.nibble.backend.cpu;

import dev.nibble.reference.ReferenceRotary;
import dev.nibble.spi.AttentionShape;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorSpecies;

/** {@link ReferenceRotary} in vectors, with the same bits. */
final class RotaryLanes {
    private static final VectorSpecies<Float> SPECIES = VectorExp.SPECIES;
    private static final int LANES = SPECIES.length();

    private RotaryLanes() {}

    /**
     * See {@link ReferenceRotary#rotate}.
     *
     * @param qkv packed, [tokens, 3 · heads · headSize]
     */
    static void rotate(ReferenceRotary table, AttentionShape shape, float[] qkv, int from, int to, boolean inverse) {
        int half = shape.headSize() / 2;
        int whole = SPECIES.loopBound(half);
        float[] cos = table.cosines();
        float[] sin = table.sines();
        float sign = inverse ? -1f : 1f;
        for (int token = from; token < to; token++) {
            int angles = token % shape.sequence() * half;
            int start = token * 3 * shape.width();
            for (int head = 0; head < 2 * shape.heads(); head++) { // q, then k
                int first = start + head * shape.headSize();
                for (int i = 0; i < whole; i += LANES) {
                    FloatVector c = FloatVector.fromArray(SPECIES, cos, angles + i);
                    FloatVector s =
                            FloatVector.fromArray(SPECIES, sin, angles + i).mul(sign);
                    FloatVector a = FloatVector.fromArray(SPECIES, qkv, first + i);
                    FloatVector b = FloatVector.fromArray(SPECIES, qkv, first + half + i);
                    a.fma(c, b.mul(s).neg()).intoArray(qkv, first + i);
                    b.fma(c, a.mul(s)).intoArray(qkv, first + half + i);
                }
                for (int i = whole; i < half; i++) {
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
}
