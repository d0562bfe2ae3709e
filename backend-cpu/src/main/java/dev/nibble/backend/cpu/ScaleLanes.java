package dev.nibble.backend.cpu;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/** What happens to values before they are rounded, in vectors. */
final class ScaleLanes {
    private static final VectorSpecies<Float> LANES = TileKernel.LANES;

    private ScaleLanes() {}

    /**
     * Writes {@code x · multiplier}, and 0 where the multiplier is 0, whatever x is.
     *
     * @param x values from {@code from}
     * @param multipliers one a value from {@code at}
     * @param out receives the results from index 0
     */
    static void multiply(float[] x, int from, int count, float[] multipliers, int at, float[] out) {
        int whole = LANES.loopBound(count);
        for (int i = 0; i < whole; i += LANES.length()) {
            FloatVector multiplier = FloatVector.fromArray(LANES, multipliers, at + i);
            FloatVector.fromArray(LANES, x, from + i)
                    .mul(multiplier)
                    .blend(0f, multiplier.compare(VectorOperators.EQ, 0f))
                    .intoArray(out, i);
        }
        for (int i = whole; i < count; i++) {
            out[i] = multipliers[at + i] == 0 ? 0 : x[from + i] * multipliers[at + i];
        }
    }

    /** Writes {@code x / divisor}. */
    static void divide(float[] x, int from, int count, float divisor, float[] out) {
        int whole = LANES.loopBound(count);
        for (int i = 0; i < whole; i += LANES.length()) {
            FloatVector.fromArray(LANES, x, from + i).div(divisor).intoArray(out, i);
        }
        for (int i = whole; i < count; i++) {
            out[i] = x[from + i] / divisor;
        }
    }

    /**
     * Writes {@code fma(-scale, code, x)}: what codes leave over.
     *
     * @param x values from {@code from}
     * @param codes what the codes stand for at scale 1, from index 0; receives the results
     */
    static void rest(float[] x, int from, int count, float scale, float[] codes) {
        FloatVector negative = FloatVector.broadcast(LANES, -scale);
        int whole = LANES.loopBound(count);
        for (int i = 0; i < whole; i += LANES.length()) {
            negative.fma(FloatVector.fromArray(LANES, codes, i), FloatVector.fromArray(LANES, x, from + i))
                    .intoArray(codes, i);
        }
        for (int i = whole; i < count; i++) {
            codes[i] = Math.fma(-scale, codes[i], x[from + i]);
        }
    }

    /** Writes 0 in place of NaN; whole vectors are read and written. */
    static void dropNan(float[] t, int count) {
        for (int i = 0; i < count; i += LANES.length()) {
            FloatVector value = FloatVector.fromArray(LANES, t, i);
            value.blend(0f, value.compare(VectorOperators.NE, value)).intoArray(t, i);
        }
    }

    /** {@return how many values are below {@code low} or above {@code high}} */
    static int beyond(float[] t, int count, float low, float high) {
        int whole = LANES.loopBound(count);
        int beyond = 0;
        for (int i = 0; i < whole; i += LANES.length()) {
            FloatVector value = FloatVector.fromArray(LANES, t, i);
            beyond += value.compare(VectorOperators.LT, low)
                    .or(value.compare(VectorOperators.GT, high))
                    .trueCount();
        }
        for (int i = whole; i < count; i++) {
            beyond += t[i] < low || t[i] > high ? 1 : 0;
        }
        return beyond;
    }
}
