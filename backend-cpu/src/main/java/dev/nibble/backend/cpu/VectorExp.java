package dev.nibble.backend.cpu;

import dev.nibble.reference.Exp;
import dev.nibble.reference.Exponentials;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/** {@link Exp} lane by lane, with the same bits: the same operations in the same order. */
final class VectorExp implements Exponentials {
    /** Lanes of all vectors here: the machine's, at most 16. */
    static final VectorSpecies<Float> SPECIES =
            FloatVector.SPECIES_PREFERRED.length() <= 16 ? FloatVector.SPECIES_PREFERRED : FloatVector.SPECIES_512;

    private static final int LANES = SPECIES.length();
    private static final int BIAS = 127; // of an FP32 exponent
    private static final int MANTISSA_BITS = 23;

    VectorExp() {}

    /**
     * Writes {@code exp(x[from + i] · factor - subtrahend)} to {@code y[to + i]}, each operation rounded. Whole vectors are
     * read and written; x and y may be the same.
     */
    // All of it is in the loop: as a method of its own the exponential is so long that C2 may leave it out of line, and
    // then
    // every vector that goes there and back is boxed.
    static void exp(float[] x, int from, int length, float factor, float subtrahend, float[] y, int to) {
        for (int i = 0; i < length; i += LANES) {
            FloatVector t =
                    FloatVector.fromArray(SPECIES, x, from + i).mul(factor).sub(subtrahend);
            FloatVector bounded = t.min(Exp.HIGHEST).max(Exp.LOWEST);
            FloatVector shifted = bounded.fma(all(Exp.INVERSE_LN2), all(Exp.ROUNDER));
            FloatVector n = shifted.sub(Exp.ROUNDER);
            FloatVector r = n.fma(all(-Exp.LN2_LOW), n.fma(all(-Exp.LN2_HIGH), bounded));
            FloatVector p = r.fma(all(Exp.C6), all(Exp.C5));
            p = r.fma(p, all(Exp.C4));
            p = r.fma(p, all(Exp.C3));
            p = r.fma(p, all(Exp.C2));
            p = r.fma(p, all(1f));
            p = r.fma(p, all(1f));
            IntVector exponent = shifted.reinterpretAsInts().sub(Float.floatToRawIntBits(Exp.ROUNDER));
            IntVector half = exponent.lanewise(VectorOperators.ASHR, 1);
            p.mul(powerOfTwo(half)).mul(powerOfTwo(exponent.sub(half))).intoArray(y, to + i);
        }
    }

    private static FloatVector all(float value) {
        return FloatVector.broadcast(SPECIES, value);
    }

    private static FloatVector powerOfTwo(IntVector exponent) {
        return exponent.add(BIAS).lanewise(VectorOperators.LSHL, MANTISSA_BITS).reinterpretAsFloats();
    }

    @Override
    public void exp(float[] x, int from, int length, float subtrahend, float[] y) {
        int whole = SPECIES.loopBound(length);
        exp(x, from, whole, 1f, subtrahend, y, 0);
        for (int i = whole; i < length; i++) {
            y[i] = Exp.exp(x[from + i] - subtrahend);
        }
    }

    @Override
    public void sigmoid(float[] x, int from, int length, float[] y) {
        int whole = SPECIES.loopBound(length);
        exp(x, from, whole, -1f, 0f, y, 0);
        for (int i = 0; i < whole; i += LANES) {
            all(1f).div(FloatVector.fromArray(SPECIES, y, i).add(1f)).intoArray(y, i);
        }
        for (int i = whole; i < length; i++) {
            y[i] = 1f / (1f + Exp.exp(-x[from + i]));
        }
    }
}
