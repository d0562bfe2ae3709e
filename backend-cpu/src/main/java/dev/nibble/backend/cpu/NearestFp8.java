package dev.nibble.backend.cpu;

import dev.nibble.tensor.Fp8;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;

/**
 * {@link Fp8#encode}, or what the policy says beyond the range; any values.
 *
 * @param lanes format and policy
 */
record NearestFp8(Fp8Lanes lanes) implements Pass {
    @Override
    public void run(Stretch stretch) {
        byte[] out = stretch.codes[0];
        for (int i = 0; i < stretch.count; i += WholeLanes.LANES.length()) {
            IntVector bits =
                    FloatVector.fromArray(WholeLanes.LANES, stretch.t, i).reinterpretAsInts();
            IntVector magnitude = Fp8Lanes.magnitude(bits);
            IntVector code = lanes.nearest(magnitude);
            IntVector finished = lanes.saturate(code, magnitude, bits);
            ByteLanes.store(lanes.overflow(finished, code, magnitude, bits), out, i);
        }
    }
}
