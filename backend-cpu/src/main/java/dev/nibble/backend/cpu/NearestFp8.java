package dev.nibble.backend.cpu;

import dev.nibble.quant.Overflow;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Fp8;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;

/**
 * {@link Fp8#encode}, or what the policy says beyond the range; any values.
 *
 * @param format E4M3 or E5M2
 * @param overflow the policy
 */
record NearestFp8(DType format, Overflow overflow) implements CodeKernel {
    @Override
    public void round(float[] t, int[] words, int wordAt, int count, byte[][] codes) {
        byte[] out = codes[0];
        Fp8Lanes lanes = Fp8Lanes.of(format, overflow);
        for (int i = 0; i < count; i += WholeLanes.LANES.length()) {
            IntVector bits = FloatVector.fromArray(WholeLanes.LANES, t, i).reinterpretAsInts();
            IntVector magnitude = Fp8Lanes.magnitude(bits);
            IntVector code = lanes.nearest(magnitude);
            IntVector finished = lanes.saturate(code, magnitude, bits);
            ByteLanes.store(lanes.overflow(finished, code, magnitude, bits), out, i);
        }
    }
}
