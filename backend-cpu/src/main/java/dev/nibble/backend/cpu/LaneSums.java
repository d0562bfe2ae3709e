package dev.nibble.backend.cpu;

import dev.nibble.reference.LaneSum;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorSpecies;

/** {@link LaneSum} in vectors of 4, 8 or 16 lanes, bit for bit: each walks along the row for its share of the 16 sums. */
final class LaneSums {
    private static final VectorSpecies<Float> LANES = VectorExp.SPECIES; // at most 16

    private LaneSums() {}

    /** {@return Σ a[aFrom + i] · b[bFrom + i] over i in 0..length-1} */
    static float dot(float[] a, int aFrom, float[] b, int bFrom, int length) {
        float[] lanes = new float[LaneSum.LANES]; // [16]
        int whole = length - length % LaneSum.LANES;
        for (int lane = 0; lane < LaneSum.LANES; lane += LANES.length()) {
            FloatVector sum = FloatVector.zero(LANES);
            for (int i = lane; i < whole; i += LaneSum.LANES) {
                FloatVector left = FloatVector.fromArray(LANES, a, aFrom + i);
                sum = left.fma(FloatVector.fromArray(LANES, b, bFrom + i), sum);
            }
            sum.intoArray(lanes, lane);
        }
        for (int i = whole; i < length; i++) {
            lanes[i - whole] = Math.fma(a[aFrom + i], b[bFrom + i], lanes[i - whole]);
        }
        return LaneSum.fold(lanes);
    }

    /** {@return Σ x[from + i] over i in 0..length-1} */
    static float sum(float[] x, int from, int length) {
        float[] lanes = new float[LaneSum.LANES]; // [16]
        int whole = length - length % LaneSum.LANES;
        for (int lane = 0; lane < LaneSum.LANES; lane += LANES.length()) {
            FloatVector sum = FloatVector.zero(LANES);
            for (int i = lane; i < whole; i += LaneSum.LANES) {
                sum = FloatVector.fromArray(LANES, x, from + i).add(sum);
            }
            sum.intoArray(lanes, lane);
        }
        for (int i = whole; i < length; i++) {
            lanes[i - whole] += x[from + i];
        }
        return LaneSum.fold(lanes);
    }

    /** {@return Σ |x[from + i]| over i in 0..length-1} */
    static float magnitudes(float[] x, int from, int length) {
        float[] lanes = new float[LaneSum.LANES]; // [16]
        int whole = length - length % LaneSum.LANES;
        for (int lane = 0; lane < LaneSum.LANES; lane += LANES.length()) {
            FloatVector sum = FloatVector.zero(LANES);
            for (int i = lane; i < whole; i += LaneSum.LANES) {
                sum = FloatVector.fromArray(LANES, x, from + i).abs().add(sum);
            }
            sum.intoArray(lanes, lane);
        }
        for (int i = whole; i < length; i++) {
            lanes[i - whole] += Math.abs(x[from + i]);
        }
        return LaneSum.fold(lanes);
    }
}
