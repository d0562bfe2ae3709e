package dev.nibble.state;

import java.util.List;

/**
 * A named small FP32 vector that a layer keeps on the device from step to step; written into checkpoints.
 *
 * @param name unique within the layer
 * @param initial its first values, at least one
 */
public record StateVector(String name, List<Float> initial) {
    /** Checks the length. */
    public StateVector {
        initial = List.copyOf(initial);
        if (initial.isEmpty()) {
            throw new IllegalArgumentException("state vector '" + name + "' is empty");
        }
    }

    /** {@return a vector of length 1} */
    public static StateVector scalar(String name, float initial) {
        return new StateVector(name, List.of(initial));
    }
}
