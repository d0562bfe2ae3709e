package dev.nibble.backend.cpu;

import dev.nibble.reference.GroupScale;
import dev.nibble.reference.ReferenceLearnedStep;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/** The elementwise steps of a learned step size in vectors: {@link ReferenceLearnedStep}, bit for bit. */
final class StepLanes {
    private static final VectorSpecies<Float> LANES = TileKernel.LANES;
    private static final int SIGN = 0x80000000;

    private StepLanes() {}

    /**
     * Writes {@code x - scale · code}, the code rounded to nearest within ±top. Whole vectors are read and written.
     *
     * @param x from index 0, overwritten
     */
    static void errors(float[] x, int count, GroupScale scale, float top) {
        FloatVector negative = FloatVector.broadcast(LANES, -scale.scale());
        for (int i = 0; i < count; i += LANES.length()) {
            FloatVector value = FloatVector.fromArray(LANES, x, i);
            FloatVector t = value.mul(scale.multiplier()).div(scale.divisor());
            negative.fma(WholeLanes.nearest(WholeLanes.bounded(t, -top, top)), value)
                    .intoArray(x, i);
        }
    }

    /**
     * Writes {@code t = x / step} in place of x, and {@link ReferenceLearnedStep#delta} of it. Whole vectors are read and
     * written.
     *
     * @param x from index 0
     * @param deltas receives the results from index 0
     */
    static void deltas(float[] x, int count, float step, float top, float[] deltas) {
        int topBits = Float.floatToRawIntBits(top);
        for (int i = 0; i < count; i += LANES.length()) {
            FloatVector t = FloatVector.fromArray(LANES, x, i).div(step);
            t.intoArray(x, i);
            IntVector signed = t.reinterpretAsInts().and(SIGN).or(topBits);
            VectorMask<Float> outside = t.abs().compare(VectorOperators.GT, top);
            WholeLanes.nearest(t)
                    .sub(t)
                    .blend(signed.reinterpretAsFloats(), outside)
                    .intoArray(deltas, i);
        }
    }

    /**
     * Writes 0 to the gradient of clipped elements.
     *
     * @param t scaled elements from index 0
     * @param gradient from {@code from}
     */
    static void clip(float[] t, int count, float top, float[] gradient, int from) {
        int whole = LANES.loopBound(count);
        for (int i = 0; i < whole; i += LANES.length()) {
            VectorMask<Float> inside = FloatVector.fromArray(LANES, t, i).abs().compare(VectorOperators.LE, top);
            FloatVector.zero(LANES)
                    .blend(FloatVector.fromArray(LANES, gradient, from + i), inside)
                    .intoArray(gradient, from + i);
        }
        for (int i = whole; i < count; i++) {
            gradient[from + i] = ReferenceLearnedStep.inside(t[i], top) ? gradient[from + i] : 0;
        }
    }
}
