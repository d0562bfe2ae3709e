package dev.nibble.backend.cpu;

import dev.nibble.random.RandomStream;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;

/** Rounding to whole numbers in vectors, for values of magnitude at most 2^22. */
final class WholeLanes {
    static final VectorSpecies<Float> LANES = TileKernel.LANES;

    // 1.5 · 2^23: adding it to |t| ≤ 2^22 rounds t to a whole number, ties to even, which is then in the low bits.
    static final float MAGIC = 12582912f;

    /** The largest magnitude that can be rounded. */
    static final int LARGEST = 1 << 22;

    private WholeLanes() {}

    /** {@return t, or the bound that it passes; NaN stays} */
    static FloatVector bounded(FloatVector t, float low, float high) {
        return t.blend(low, t.compare(VectorOperators.LT, low)).blend(high, t.compare(VectorOperators.GT, high));
    }

    /** {@return the nearest whole number, ties to even; +0 instead of -0} */
    static FloatVector nearest(FloatVector t) {
        return t.add(MAGIC).sub(MAGIC);
    }

    /** {@return floor(t), or one more where u is less than the fraction} */
    static FloatVector stochastic(FloatVector t, FloatVector u) {
        FloatVector whole = nearest(t);
        FloatVector floor = whole.sub(1f, whole.compare(VectorOperators.GT, t));
        return floor.add(1f, u.compare(VectorOperators.LT, t.sub(floor)));
    }

    /** {@return integers whose low 16 bits are those of a whole number in two's complement} */
    static IntVector bits(FloatVector whole) {
        return whole.add(MAGIC).reinterpretAsInts();
    }

    /** {@return the uniform numbers that random words stand for, as {@link RandomStream#fromWord}} */
    static FloatVector uniform(int[] words, int at) {
        IntVector bits =
                IntVector.fromArray(IntVector.SPECIES_PREFERRED, words, at).lanewise(VectorOperators.LSHR, 8);
        return ((FloatVector) bits.convertShape(VectorOperators.I2F, LANES, 0)).mul(RandomStream.UNIT);
    }
}
