package dev.nibble.backend.cpu;

import dev.nibble.reference.Rounder;
import jdk.incubator.vector.FloatVector;

/**
 * {@link Rounder#stochastic(float, float, float, float)}: bounding t first gives the same codes, as the bounds are
 * whole numbers.
 *
 * @param low smallest code
 * @param high largest code
 */
record StochasticInteger(float low, float high) implements CodeKernel {
    @Override
    public void round(float[] t, int[] words, int wordAt, int count, byte[][] codes) {
        byte[] out = codes[0];
        for (int i = 0; i < count; i += WholeLanes.LANES.length()) {
            FloatVector bounded = WholeLanes.bounded(FloatVector.fromArray(WholeLanes.LANES, t, i), low, high);
            FloatVector rounded = WholeLanes.stochastic(bounded, WholeLanes.uniform(words, wordAt + i));
            ByteLanes.store(WholeLanes.bits(rounded), out, i);
        }
    }
}
