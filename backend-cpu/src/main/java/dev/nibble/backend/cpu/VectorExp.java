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

    /** {@return e^x} */
    static FloatVector exp(FloatVector x) {
        FloatVector bounded = x.min(Exp.HIGHEST).max(Exp.LOWEST);
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
        return p.mul(powerOfTwo(half)).mul(powerOfTwo(exponent.sub(half)));
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
        for (int i = 0; i < whole; i += LANES) {
            exp(FloatVector.fromArray(SPECIES, x, from + i).sub(subtrahend)).intoArray(y, i);
        }
        for (int i = whole; i < length; i++) {
            y[i] = Exp.exp(x[from + i] - subtrahend);
        }
    }

    @Override
    public void sigmoid(float[] x, int from, int length, float[] y) {
        int whole = SPECIES.loopBound(length);
        for (int i = 0; i < whole; i += LANES) {
            FloatVector e = exp(FloatVector.fromArray(SPECIES, x, from + i).neg());
            all(1f).div(e.add(1f)).intoArray(y, i);
        }
        for (int i = whole; i < length; i++) {
            y[i] = 1f / (1f + Exp.exp(-x[from + i]));
        }
    }
}
