package dev.nibble.backend.cpu;

import dev.nibble.reference.ExponentCode;
import dev.nibble.tensor.DType;
import java.util.List;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;

/**
 * {@link ExponentCode} with a uniform number. Numbers that are not negative are compared by their bits.
 *
 * @param format E3M0 or E4M0
 * @param largest the largest k
 */
record StochasticPower(DType format, int largest) implements Pass {
    private static final float LN_2 = (float) StrictMath.log(2);

    /** {@return the passes that compare u with the fraction of the exponent} */
    static List<Pass> log(DType format, int largest) {
        return List.of(StochasticPower::powers, StochasticPower::decide, new StochasticPower(format, largest));
    }

    @Override
    public void run(Stretch stretch) {
        byte[] out = stretch.codes[0];
        int wordAt = stretch.wordAt;
        int signBit = PowerLanes.signBit(format);
        for (int i = 0; i < stretch.count; i += WholeLanes.LANES.length()) {
            IntVector bits =
                    FloatVector.fromArray(WholeLanes.LANES, stretch.t, i).reinterpretAsInts();
            IntVector magnitude = bits.and(PowerLanes.MAGNITUDE);
            VectorMask<Integer> small = magnitude.compare(VectorOperators.LT, PowerLanes.ONE);
            IntVector fraction = mantissa(magnitude).sub(1f).reinterpretAsInts().blend(magnitude, small);
            IntVector u = WholeLanes.uniform(stretch.words, wordAt + i).reinterpretAsInts();
            IntVector k = PowerLanes.exponent(magnitude).blend(0, small);
            IntVector up = k.add(1, u.compare(VectorOperators.LT, fraction)).min(largest);
            ByteLanes.store(PowerLanes.signed(up, bits, signBit), out, i);
        }
    }

    /** Writes 2^u to {@code spare}. */
    private static void powers(Stretch stretch) {
        for (int i = 0; i < stretch.count; i += WholeLanes.LANES.length()) {
            WholeLanes.uniform(stretch.words, stretch.wordAt + i).intoArray(stretch.spare, i);
        }
        VectorExp.exp(stretch.spare, 0, stretch.count, LN_2, 0f, stretch.spare, 0);
    }

    /**
     * Overwrites the random bits of values above the smallest power with those of the smallest or the largest u, which
     * decide as u does here: u &lt; log2(m), compared on the other side of the exponential.
     */
    private static void decide(Stretch stretch) {
        int[] words = stretch.words;
        int wordAt = stretch.wordAt;
        for (int i = 0; i < stretch.count; i += WholeLanes.LANES.length()) {
            IntVector magnitude = FloatVector.fromArray(WholeLanes.LANES, stretch.t, i)
                    .reinterpretAsInts()
                    .and(PowerLanes.MAGNITUDE);
            IntVector power =
                    FloatVector.fromArray(WholeLanes.LANES, stretch.spare, i).reinterpretAsInts();
            VectorMask<Integer> up =
                    power.compare(VectorOperators.LT, mantissa(magnitude).reinterpretAsInts());
            IntVector decided =
                    IntVector.broadcast(IntVector.SPECIES_PREFERRED, -1).blend(0, up);
            IntVector word = IntVector.fromArray(IntVector.SPECIES_PREFERRED, words, wordAt + i);
            VectorMask<Integer> small = magnitude.compare(VectorOperators.LT, PowerLanes.ONE);
            decided.blend(word, small).intoArray(words, wordAt + i);
        }
    }

    /** {@return m in [1, 2) of a normal number m · 2^e} */
    private static FloatVector mantissa(IntVector magnitude) {
        return magnitude.and(PowerLanes.MANTISSA).or(PowerLanes.ONE).reinterpretAsFloats();
    }
}
