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
record StochasticInteger(float low, float high) implements Pass {
    @Override
    public void run(Stretch stretch) {
        round(stretch.t, low, high, stretch, stretch.codes[0]);
    }

    /** Rounds other values of the stretch. */
    static void round(float[] t, float low, float high, Stretch stretch, byte[] out) {
        int wordAt = stretch.wordAt;
        for (int i = 0; i < stretch.count; i += WholeLanes.LANES.length()) {
            FloatVector bounded = WholeLanes.bounded(FloatVector.fromArray(WholeLanes.LANES, t, i), low, high);
            FloatVector rounded = WholeLanes.stochastic(bounded, WholeLanes.uniform(stretch.words, wordAt + i));
            ByteLanes.store(WholeLanes.bits(rounded), out, i);
        }
    }
}
