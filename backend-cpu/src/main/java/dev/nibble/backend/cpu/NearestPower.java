package dev.nibble.backend.cpu;

import dev.nibble.reference.ExponentCode;
import dev.nibble.tensor.DType;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;

/**
 * {@link ExponentCode} to nearest, on the bits of the magnitude: half of a mantissa added to them carries into the
 * exponent where the next power is as near.
 *
 * @param format E3M0 or E4M0
 * @param largest the largest k
 * @param flush whether what is below the smallest power becomes 0
 */
record NearestPower(DType format, int largest, boolean flush) implements Pass {
    @Override
    public void run(Stretch stretch) {
        byte[] out = stretch.codes[0];
        int signBit = PowerLanes.signBit(format);
        int smallest = flush ? PowerLanes.ONE : PowerLanes.HALF;
        for (int i = 0; i < stretch.count; i += WholeLanes.LANES.length()) {
            IntVector bits =
                    FloatVector.fromArray(WholeLanes.LANES, stretch.t, i).reinterpretAsInts();
            IntVector magnitude = bits.and(PowerLanes.MAGNITUDE);
            IntVector k = PowerLanes.exponent(magnitude.add(PowerLanes.HALF_MANTISSA))
                    .max(1)
                    .blend(0, magnitude.compare(VectorOperators.LT, smallest))
                    .min(largest);
            ByteLanes.store(PowerLanes.signed(k, bits, signBit), out, i);
        }
    }
}
