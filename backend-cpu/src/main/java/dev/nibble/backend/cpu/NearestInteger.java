package dev.nibble.backend.cpu;

import dev.nibble.reference.Rounder;
import jdk.incubator.vector.FloatVector;

/**
 * {@link Rounder#nearest(float, float, float)}.
 *
 * @param low smallest code
 * @param high largest code
 */
record NearestInteger(float low, float high) implements Pass {
    @Override
    public void run(Stretch stretch) {
        byte[] out = stretch.codes[0];
        for (int i = 0; i < stretch.count; i += WholeLanes.LANES.length()) {
            FloatVector t = FloatVector.fromArray(WholeLanes.LANES, stretch.t, i);
            ByteLanes.store(WholeLanes.bits(WholeLanes.bounded(t, low, high)), out, i);
        }
    }
}
