package dev.nibble.backend.cpu;

import dev.nibble.quant.PlaneSource;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.quant.SplitMode;
import dev.nibble.reference.ElementCode;

/**
 * Rounds neighbouring scaled values to codes of one byte each, in vectors; equal to the plain code bit for bit.
 */
sealed interface CodeKernel
        permits NearestInteger,
                StochasticInteger,
                NearestPower,
                StochasticPower,
                NearestFp8,
                StochasticFp8,
                SplitDigits {
    /**
     * Rounds a run of values. Whole vectors are read and written: arrays reach beyond the run.
     *
     * @param t scaled values from index 0; for integers and powers of two no NaN
     * @param words 32 random bits a value from {@code wordAt}, if the rounding is stochastic
     * @param count values in the run
     * @param codes receives the codes from index 0, [planes][at least count and one vector]
     */
    void round(float[] t, int[] words, int wordAt, int count, byte[][] codes);

    /** {@return the kernel of a plane with codes of at most 8 bits} */
    static CodeKernel of(PlaneSpec plane) {
        boolean stochastic = isStochastic(plane.rounding());
        if (plane.source() instanceof PlaneSource.Digit digit) {
            return new SplitDigits(digit.mode() == SplitMode.UNBIASED);
        }
        float low = plane.scaleRule().bottom(plane.format());
        float high = plane.scaleRule().top(plane.format());
        return switch (plane.format()) {
            case INT8, INT4, UINT4 -> stochastic ? new StochasticInteger(low, high) : new NearestInteger(low, high);
            case E3M0, E4M0 -> {
                int largest = ElementCode.largestExponentCode(plane);
                yield stochastic
                        ? new StochasticPower(plane.format(), largest, plane.rounding() == Rounding.STOCHASTIC_LOG)
                        : new NearestPower(plane.format(), largest, plane.rounding() == Rounding.NEAREST_FLUSH);
            }
            case E4M3, E5M2 ->
                stochastic
                        ? new StochasticFp8(plane.format(), plane.overflow())
                        : new NearestFp8(plane.format(), plane.overflow());
            case BF16, FP16, FP32, INT32 ->
                throw new IllegalStateException(plane.format().label() + " has no codes of a byte");
        };
    }

    /** {@return whether a rounding draws a number for each element} */
    static boolean isStochastic(Rounding rounding) {
        return rounding == Rounding.STOCHASTIC || rounding == Rounding.STOCHASTIC_LOG;
    }
}
