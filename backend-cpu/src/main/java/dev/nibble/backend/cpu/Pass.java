package dev.nibble.backend.cpu;

import dev.nibble.quant.PlaneSource;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.quant.SplitMode;
import dev.nibble.reference.ElementCode;
import java.util.List;

/**
 * One loop over a stretch that lies in the L1 cache.
 *
 * <p>Passes are called through this interface, which has many implementations, for the compiler's sake: C2 does not
 * inline such a call, so it compiles each loop alone. Where it inlines two loops of twenty or thirty vector operations
 * into one caller they fill its node budget, and the vectors of what no longer fits are boxed, ten times slower.
 */
@FunctionalInterface
interface Pass {
    /** Reads and writes the stretch. */
    void run(Stretch stretch);

    /**
     * {@return the passes that round scaled values to codes of one byte each; equal to {@link ElementCode} bit for bit} For
     * integers and powers of two no value may be NaN. Digits go to two planes, the upper ones first.
     *
     * @param plane a plane with codes of at most 8 bits
     */
    static List<Pass> rounding(PlaneSpec plane) {
        boolean stochastic = isStochastic(plane.rounding());
        if (plane.source() instanceof PlaneSource.Digit digit) {
            return digit.mode() == SplitMode.UNBIASED ? SplitDigits.unbiased() : SplitDigits.released();
        }
        float low = plane.scaleRule().bottom(plane.format());
        float high = plane.scaleRule().top(plane.format());
        return switch (plane.format()) {
            case INT8, INT4, UINT4 ->
                List.of(stochastic ? new StochasticInteger(low, high) : new NearestInteger(low, high));
            case E3M0, E4M0 -> {
                int largest = ElementCode.largestExponentCode(plane);
                yield switch (plane.rounding()) {
                    case NEAREST_EVEN -> List.of(new NearestPower(plane.format(), largest, false));
                    case NEAREST_FLUSH -> List.of(new NearestPower(plane.format(), largest, true));
                    case STOCHASTIC -> List.of(new StochasticPower(plane.format(), largest));
                    case STOCHASTIC_LOG -> StochasticPower.log(plane.format(), largest);
                };
            }
            case E4M3, E5M2 -> {
                Fp8Lanes lanes = Fp8Lanes.of(plane.format(), plane.overflow());
                yield stochastic ? StochasticFp8.passes(lanes) : List.of(new NearestFp8(lanes));
            }
            case BF16, FP16, FP32, INT32 ->
                throw new IllegalStateException(plane.format().label() + " has no codes of a byte");
        };
    }

    /** {@return whether a rounding draws a number for each element} */
    static boolean isStochastic(Rounding rounding) {
        return rounding == Rounding.STOCHASTIC || rounding == Rounding.STOCHASTIC_LOG;
    }
}
