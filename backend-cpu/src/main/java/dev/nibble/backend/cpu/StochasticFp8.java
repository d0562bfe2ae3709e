package dev.nibble.backend.cpu;

import dev.nibble.quant.Overflow;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Fp8;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;

/**
 * {@link Fp8#encodeStochastic}, or what the policy says beyond the range; any values.
 *
 * @param format E4M3 or E5M2
 * @param overflow the policy
 */
record StochasticFp8(DType format, Overflow overflow) implements CodeKernel {
    @Override
    public void round(float[] t, int[] words, int wordAt, int count, byte[][] codes) {
        Fp8Lanes lanes = Fp8Lanes.of(format, overflow);
        saturated(lanes, t, words, wordAt, count, codes[0]);
        if (overflow == Overflow.PAPER || overflow == Overflow.INFINITY) {
            overflow(lanes, t, count, codes[0]);
        }
    }

    private static void saturated(Fp8Lanes lanes, float[] t, int[] words, int wordAt, int count, byte[] out) {
        int droppedBits = (1 << lanes.dropped()) - 1;
        float droppedUnit = Math.scalb(1f, -lanes.dropped());
        float steps = Math.scalb(1f, lanes.bias() - 1 + lanes.mantissa()); // of the subnormal codes, in 1
        for (int i = 0; i < count; i += WholeLanes.LANES.length()) {
            IntVector bits = FloatVector.fromArray(WholeLanes.LANES, t, i).reinterpretAsInts();
            IntVector magnitude = Fp8Lanes.magnitude(bits);
            VectorMask<Integer> small = lanes.small(magnitude);
            FloatVector rest =
                    (FloatVector) magnitude.and(droppedBits).convertShape(VectorOperators.I2F, WholeLanes.LANES, 0);
            // In steps a small magnitude is below 2^mantissa; the other lanes hold anything, and do not count.
            FloatVector subnormal = magnitude.reinterpretAsFloats().mul(steps);
            FloatVector whole = WholeLanes.nearest(subnormal);
            FloatVector floor = whole.sub(1f, whole.compare(VectorOperators.GT, subnormal));
            IntVector fraction = rest.mul(droppedUnit)
                    .reinterpretAsInts()
                    .blend(subnormal.sub(floor).reinterpretAsInts(), small);
            IntVector code = lanes.below(magnitude).blend(WholeLanes.bits(floor).and(0xFF), small);
            IntVector u = WholeLanes.uniform(words, wordAt + i).reinterpretAsInts();
            IntVector up = code.add(1, u.compare(VectorOperators.LT, fraction));
            ByteLanes.store(lanes.saturate(up, magnitude, bits), out, i);
        }
    }

    /** Writes the codes of values that overflow; apart, because C2 cannot take in both loops at once. */
    private static void overflow(Fp8Lanes lanes, float[] t, int count, byte[] out) {
        for (int i = 0; i < count; i += WholeLanes.LANES.length()) {
            IntVector bits = FloatVector.fromArray(WholeLanes.LANES, t, i).reinterpretAsInts();
            IntVector magnitude = Fp8Lanes.magnitude(bits);
            IntVector code = lanes.overflow(ByteLanes.load(out, i), lanes.nearest(magnitude), magnitude, bits);
            ByteLanes.store(code, out, i);
        }
    }
}
