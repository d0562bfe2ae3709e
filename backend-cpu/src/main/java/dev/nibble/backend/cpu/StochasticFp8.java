package dev.nibble.backend.cpu;

import dev.nibble.tensor.Fp8;
import java.util.List;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;

/** {@link Fp8#encodeStochastic}, or what the policy says beyond the range; any values. */
final class StochasticFp8 {
    private StochasticFp8() {}

    /**
     * {@return the passes}
     *
     * @param lanes format and policy
     */
    static List<Pass> passes(Fp8Lanes lanes) {
        Pass below = stretch -> below(lanes, stretch);
        Pass overflow = stretch -> overflow(lanes, stretch);
        return lanes.overflows() ? List.of(below, StochasticFp8::up, overflow) : List.of(below, StochasticFp8::up);
    }

    /**
     * Writes the code at or below each magnitude, and to {@code spare} the fraction of the step above it; 0 at the
     * largest code.
     */
    private static void below(Fp8Lanes lanes, Stretch stretch) {
        byte[] out = stretch.codes[0];
        int droppedBits = (1 << lanes.dropped()) - 1;
        float droppedUnit = Math.scalb(1f, -lanes.dropped());
        float steps = Math.scalb(1f, lanes.bias() - 1 + lanes.mantissa()); // of the subnormal codes, in 1
        for (int i = 0; i < stretch.count; i += WholeLanes.LANES.length()) {
            IntVector bits =
                    FloatVector.fromArray(WholeLanes.LANES, stretch.t, i).reinterpretAsInts();
            IntVector magnitude = Fp8Lanes.magnitude(bits);
            VectorMask<Integer> small = lanes.small(magnitude);
            FloatVector rest =
                    (FloatVector) magnitude.and(droppedBits).convertShape(VectorOperators.I2F, WholeLanes.LANES, 0);
            // In steps a small magnitude is below 2^mantissa; the other lanes hold anything, and do not count.
            FloatVector subnormal = magnitude.reinterpretAsFloats().mul(steps);
            FloatVector whole = WholeLanes.nearest(subnormal);
            FloatVector floor = whole.sub(1f, whole.compare(VectorOperators.GT, subnormal));
            IntVector code = lanes.below(magnitude).blend(WholeLanes.bits(floor).and(0xFF), small);
            IntVector fraction = rest.mul(droppedUnit)
                    .reinterpretAsInts()
                    .blend(subnormal.sub(floor).reinterpretAsInts(), small)
                    .blend(0, code.compare(VectorOperators.GE, lanes.largest()));
            IntVector saturated = lanes.saturate(code, magnitude, bits);
            fraction.reinterpretAsFloats().intoArray(stretch.spare, i);
            ByteLanes.store(saturated, out, i);
        }
    }

    /** Adds 1 where u is less than the fraction; no code is then the largest. */
    private static void up(Stretch stretch) {
        byte[] out = stretch.codes[0];
        int wordAt = stretch.wordAt;
        for (int i = 0; i < stretch.count; i += WholeLanes.LANES.length()) {
            IntVector fraction =
                    FloatVector.fromArray(WholeLanes.LANES, stretch.spare, i).reinterpretAsInts();
            IntVector u = WholeLanes.uniform(stretch.words, wordAt + i).reinterpretAsInts();
            ByteLanes.store(ByteLanes.load(out, i).add(1, u.compare(VectorOperators.LT, fraction)), out, i);
        }
    }

    /** Writes the codes of values that overflow. */
    private static void overflow(Fp8Lanes lanes, Stretch stretch) {
        byte[] out = stretch.codes[0];
        for (int i = 0; i < stretch.count; i += WholeLanes.LANES.length()) {
            IntVector bits =
                    FloatVector.fromArray(WholeLanes.LANES, stretch.t, i).reinterpretAsInts();
            IntVector magnitude = Fp8Lanes.magnitude(bits);
            IntVector code = lanes.overflow(ByteLanes.load(out, i), lanes.nearest(magnitude), magnitude, bits);
            ByteLanes.store(code, out, i);
        }
    }
}
