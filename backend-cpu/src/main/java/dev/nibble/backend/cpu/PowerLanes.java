package dev.nibble.backend.cpu;

import dev.nibble.tensor.DType;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;

/** Sign-magnitude codes of powers of two in vectors: k = 0 stands for 0, k for 2^(k-1). */
final class PowerLanes {
    static final int MAGNITUDE = 0x7FFFFFFF;
    static final int MANTISSA = 0x7FFFFF;
    static final int HALF_MANTISSA = 0x400000;
    static final int ONE = 0x3F800000; // the bits of 1f
    static final int HALF = 0x3F000000; // the bits of 0.5f

    private static final int SIGN = 0x80000000;
    private static final int MANTISSA_BITS = 23;
    private static final int BELOW_BIAS = 126; // 2^0 has k = 1

    private PowerLanes() {}

    /** {@return the bit of a code's byte that is its sign: 3 or 7} */
    static int signBit(DType format) {
        return format == DType.E3M0 ? 3 : 7;
    }

    /** {@return k of the power at or below a magnitude of at least 1, given by its bits} */
    static IntVector exponent(IntVector magnitude) {
        return magnitude.lanewise(VectorOperators.LSHR, MANTISSA_BITS).sub(BELOW_BIAS);
    }

    /** {@return what codes stand for at scale 1: their k, and any integers that have their signs} */
    static FloatVector value(IntVector k, IntVector signs) {
        IntVector sign = signs.and(SIGN);
        IntVector bits =
                k.add(BELOW_BIAS).lanewise(VectorOperators.LSHL, MANTISSA_BITS).or(sign);
        return bits.blend(0, k.compare(VectorOperators.EQ, 0)).reinterpretAsFloats();
    }

    /** {@return k with the sign of a value, given by its bits; 0 has none} */
    static IntVector signed(IntVector k, IntVector bits, int signBit) {
        IntVector sign = bits.lanewise(VectorOperators.LSHR, 31).lanewise(VectorOperators.LSHL, signBit);
        return k.or(sign).blend(0, k.compare(VectorOperators.EQ, 0));
    }
}
