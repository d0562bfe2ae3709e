package dev.nibble.backend.cpu;

import dev.nibble.reference.LaneSum;
import dev.nibble.reference.ReferenceGradientNorm;
import jdk.incubator.vector.DoubleVector;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorShape;
import jdk.incubator.vector.VectorSpecies;

/** {@link ReferenceGradientNorm#sumOfSquares} in vectors, bit for bit: a square is exact, and each lane is one of its 16 sums. */
final class SquareLanes {
    private static final int DOUBLES = Math.min(8, DoubleVector.SPECIES_PREFERRED.length());
    private static final VectorSpecies<Double> WIDE =
            VectorSpecies.of(double.class, VectorShape.forBitSize(DOUBLES * Double.SIZE));
    // As many floats as there are doubles, or twice as many where no vector is that short.
    private static final VectorSpecies<Float> NARROW =
            VectorSpecies.of(float.class, VectorShape.forBitSize(Math.max(64, DOUBLES * Float.SIZE)));

    private SquareLanes() {}

    /** {@return Σ x[i]² over i in {@code from .. to - 1}} */
    static double sum(float[] x, int from, int to) {
        double[] lanes = new double[LaneSum.LANES]; // [16]
        int whole = to - (to - from) % LaneSum.LANES;
        for (int lane = 0; lane < LaneSum.LANES; lane += DOUBLES) {
            DoubleVector sum = DoubleVector.zero(WIDE);
            for (int i = from + lane; i < whole; i += LaneSum.LANES) {
                DoubleVector value =
                        (DoubleVector) FloatVector.fromArray(NARROW, x, i).convertShape(VectorOperators.F2D, WIDE, 0);
                sum = value.mul(value).add(sum);
            }
            sum.intoArray(lanes, lane);
        }
        for (int i = whole; i < to; i++) {
            lanes[i - whole] += (double) x[i] * x[i];
        }
        for (int half = LaneSum.LANES / 2; half > 0; half /= 2) {
            for (int lane = 0; lane < half; lane++) {
                lanes[lane] += lanes[lane + half];
            }
        }
        return lanes[0];
    }
}
