package dev.nibble.reference;

import dev.nibble.quant.Overflow;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.tensor.Bf16;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Fp16;
import dev.nibble.tensor.Fp8;

/** The code of one scaled value: the specification of every rounding. */
public final class ElementCode {
    private static final float E4M3_OVERFLOW = 464; // the tie between 448 and 480, which rounds to 448
    private static final float E5M2_OVERFLOW = 57344;

    private ElementCode() {}

    /**
     * {@return the bits of the code, of which the lowest {@code format.bits()} count}
     *
     * @param plane format, rounding, range and overflow
     * @param t scaled value
     * @param u uniform in [0, 1), on the grid 2^-24; counts if the rounding is stochastic
     */
    public static int bits(PlaneSpec plane, float t, float u) {
        DType format = plane.format();
        return switch (format) {
            case INT8, INT4, UINT4 -> {
                float low = plane.scaleRule().bottom(format);
                float high = plane.scaleRule().top(format);
                yield plane.rounding() == Rounding.STOCHASTIC
                        ? Rounder.stochastic(t, u, low, high)
                        : Rounder.nearest(t, low, high);
            }
            case E3M0 -> exponent(plane, t, u, 3);
            case E4M0 -> exponent(plane, t, u, 7);
            case E4M3, E5M2 -> fp8(plane, t, u);
            case BF16 -> Bf16.encode(t);
            case FP16 -> Fp16.encode(t);
            case FP32, INT32 -> throw new IllegalStateException(format.label() + " is not rounded to");
        };
    }

    /** {@return the largest k of an exponent plane: its top code is 2^(k-1)} */
    public static int largestExponentCode(PlaneSpec plane) {
        return Math.getExponent(plane.scaleRule().top(plane.format())) + 1;
    }

    private static int exponent(PlaneSpec plane, float t, float u, int signBit) {
        int k = ExponentCode.of(Math.abs(t), largestExponentCode(plane), plane.rounding(), u);
        return k > 0 && t < 0 ? k | (1 << signBit) : k;
    }

    private static int fp8(PlaneSpec plane, float t, float u) {
        DType format = plane.format();
        float largest = format == DType.E4M3 ? E4M3_OVERFLOW : E5M2_OVERFLOW;
        boolean passesThrough = (plane.overflow() == Overflow.INFINITY && Math.abs(t) > largest)
                || (plane.overflow() == Overflow.PAPER && Float.isInfinite(t));
        if (passesThrough) {
            return Fp8.encodeUnsaturated(format, t);
        }
        return plane.rounding() == Rounding.STOCHASTIC ? Fp8.encodeStochastic(format, t, u) : Fp8.encode(format, t);
    }
}
