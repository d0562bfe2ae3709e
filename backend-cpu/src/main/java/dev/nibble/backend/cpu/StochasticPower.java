package dev.nibble.backend.cpu;

import dev.nibble.reference.ExponentCode;
import dev.nibble.tensor.DType;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;

/**
 * {@link ExponentCode} with a uniform number. Numbers that are not negative are compared by their bits.
 *
 * @param format E3M0 or E4M0
 * @param largest the largest k
 * @param log whether u is compared with the fraction of the exponent, above the smallest power
 */
record StochasticPower(DType format, int largest, boolean log) implements CodeKernel {
    private static final float LN_2 = (float) StrictMath.log(2);

    @Override
    public void round(float[] t, int[] words, int wordAt, int count, byte[][] codes) {
        if (log) {
            exponents(t, words, wordAt, count, codes[0]);
        } else {
            values(t, words, wordAt, count, codes[0]);
        }
    }

    private void values(float[] t, int[] words, int wordAt, int count, byte[] out) {
        int signBit = PowerLanes.signBit(format);
        for (int i = 0; i < count; i += WholeLanes.LANES.length()) {
            IntVector bits = FloatVector.fromArray(WholeLanes.LANES, t, i).reinterpretAsInts();
            IntVector magnitude = bits.and(PowerLanes.MAGNITUDE);
            VectorMask<Integer> small = magnitude.compare(VectorOperators.LT, PowerLanes.ONE);
            IntVector fraction = mantissa(magnitude).sub(1f).reinterpretAsInts().blend(magnitude, small);
            IntVector u = WholeLanes.uniform(words, wordAt + i).reinterpretAsInts();
            IntVector k = PowerLanes.exponent(magnitude).blend(0, small);
            IntVector up = k.add(1, u.compare(VectorOperators.LT, fraction)).min(largest);
            ByteLanes.store(PowerLanes.signed(up, bits, signBit), out, i);
        }
    }

    private void exponents(float[] t, int[] words, int wordAt, int count, byte[] out) {
        int signBit = PowerLanes.signBit(format);
        float[] powers = powers(words, wordAt, count);
        for (int i = 0; i < count; i += WholeLanes.LANES.length()) {
            IntVector bits = FloatVector.fromArray(WholeLanes.LANES, t, i).reinterpretAsInts();
            IntVector magnitude = bits.and(PowerLanes.MAGNITUDE);
            VectorMask<Integer> small = magnitude.compare(VectorOperators.LT, PowerLanes.ONE);
            IntVector u = WholeLanes.uniform(words, wordAt + i).reinterpretAsInts();
            // u < log2(m), compared on the other side of the exponential; at m = 1 no u is.
            IntVector drawn = FloatVector.fromArray(WholeLanes.LANES, powers, i)
                    .reinterpretAsInts()
                    .blend(u, small);
            IntVector bound = mantissa(magnitude).reinterpretAsInts().blend(magnitude, small);
            VectorMask<Integer> above =
                    drawn.compare(VectorOperators.LT, bound).and(bound.compare(VectorOperators.NE, PowerLanes.ONE));
            IntVector k = PowerLanes.exponent(magnitude).blend(0, small);
            ByteLanes.store(PowerLanes.signed(k.add(1, above).min(largest), bits, signBit), out, i);
        }
    }

    /** {@return 2^u of each number; apart, because C2 cannot take in both loops at once} */
    private static float[] powers(int[] words, int wordAt, int count) {
        float[] powers = new float[count + WholeLanes.LANES.length()]; // [count and a vector]
        for (int i = 0; i < count; i += WholeLanes.LANES.length()) {
            FloatVector u = WholeLanes.uniform(words, wordAt + i);
            VectorExp.exp(u.mul(LN_2)).intoArray(powers, i);
        }
        return powers;
    }

    /** {@return m in [1, 2) of a normal number m · 2^e} */
    private static FloatVector mantissa(IntVector magnitude) {
        return magnitude.and(PowerLanes.MANTISSA).or(PowerLanes.ONE).reinterpretAsFloats();
    }
}
