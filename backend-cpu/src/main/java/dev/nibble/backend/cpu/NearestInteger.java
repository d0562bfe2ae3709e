package dev.nibble.backend.cpu;

import dev.nibble.reference.Rounder;
import jdk.incubator.vector.FloatVector;

/**
 * {@link Rounder#nearest(float, float, float)}.
 *
 * @param low smallest code
 * @param high largest code
 */
record NearestInteger(float low, float high) implements CodeKernel {
    @Override
    public void round(float[] t, int[] words, int wordAt, int count, byte[][] codes) {
        byte[] out = codes[0];
        for (int i = 0; i < count; i += WholeLanes.LANES.length()) {
            FloatVector bounded = WholeLanes.bounded(FloatVector.fromArray(WholeLanes.LANES, t, i), low, high);
            ByteLanes.store(WholeLanes.bits(bounded), out, i);
        }
    }
}
