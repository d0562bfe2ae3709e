package dev.nibble.backend.cpu;

import dev.nibble.quant.Overflow;
import dev.nibble.reference.ElementCode;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Fp8;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;

/**
 * The 8-bit floats in vectors: {@link Fp8}, and what {@link ElementCode} makes of values beyond their range.
 *
 * @param mantissa bits of the mantissa
 * @param bias of the exponent
 * @param largest code of the largest finite value
 * @param beyond code of a value that overflows
 * @param limit bits of the largest magnitude that does not overflow
 */
record Fp8Lanes(int mantissa, int bias, int largest, int beyond, int limit) {
    private static final int MAGNITUDE = 0x7FFFFFFF;
    private static final int INFINITY = 0x7F800000;
    private static final int NAN_CODE = 0x7F;
    private static final float E4M3_LIMIT = 464; // the tie between 448 and 480, which rounds to 448
    private static final float E5M2_LIMIT = 57344;

    static Fp8Lanes of(DType format, Overflow overflow) {
        boolean e4m3 = format == DType.E4M3;
        int limit = switch (overflow) {
            case SATURATE, CLAMP -> INFINITY;
            case PAPER -> INFINITY - 1;
            case INFINITY -> Float.floatToRawIntBits(e4m3 ? E4M3_LIMIT : E5M2_LIMIT);
        };
        return e4m3 ? new Fp8Lanes(3, 7, 0x7E, NAN_CODE, limit) : new Fp8Lanes(2, 15, 0x7B, 0x7C, limit);
    }

    /** {@return whether some value does not saturate} */
    boolean overflows() {
        return limit < INFINITY;
    }

    /** {@return the bits of a value without its sign} */
    static IntVector magnitude(IntVector bits) {
        return bits.and(MAGNITUDE);
    }

    /** {@return bits of the mantissa that a normal code drops} */
    int dropped() {
        return 23 - mantissa;
    }

    /** {@return the lanes whose codes are subnormal, or the smallest normal one} */
    VectorMask<Integer> small(IntVector magnitude) {
        return magnitude.compare(VectorOperators.LT, (128 - bias) << 23);
    }

    /** {@return the code at or below a magnitude that is not small, without a bound} */
    IntVector below(IntVector magnitude) {
        return magnitude.lanewise(VectorOperators.LSHR, dropped()).sub((127 - bias) << mantissa);
    }

    /** {@return the code nearest to a magnitude, ties to even, without a bound} */
    IntVector nearest(IntVector magnitude) {
        IntVector odd = magnitude.lanewise(VectorOperators.LSHR, dropped()).and(1);
        IntVector normal = below(magnitude.add((1 << (dropped() - 1)) - 1).add(odd));
        // The last bit of this power of two is the step of the subnormal codes: adding it rounds to them.
        float step = Float.intBitsToFloat((127 + 1 - bias - mantissa + 23) << 23);
        IntVector subnormal =
                magnitude.reinterpretAsFloats().add(step).reinterpretAsInts().sub(Float.floatToRawIntBits(step));
        return normal.blend(subnormal, small(magnitude));
    }

    /** {@return codes with the sign of the values, given by their bits; at most the largest finite one} */
    IntVector saturate(IntVector code, IntVector magnitude, IntVector bits) {
        return code.min(largest).or(sign(bits)).blend(NAN_CODE, magnitude.compare(VectorOperators.GT, INFINITY));
    }

    /**
     * {@return finished codes, or what the policy says where values overflow}
     *
     * @param nearest the nearest code of each, without a bound
     */
    IntVector overflow(IntVector finished, IntVector nearest, IntVector magnitude, IntVector bits) {
        VectorMask<Integer> over = magnitude.compare(VectorOperators.GT, limit);
        return finished.blend(nearest.min(beyond).or(sign(bits)), over)
                .blend(NAN_CODE, magnitude.compare(VectorOperators.GT, INFINITY));
    }

    private static IntVector sign(IntVector bits) {
        return bits.lanewise(VectorOperators.LSHR, 24).and(0x80);
    }
}
