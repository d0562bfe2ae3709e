package dev.nibble.backend.cpu;

import dev.nibble.quant.SplitMode;
import java.util.List;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;

/**
 * Both digits of {@link SplitMode} from one draw: {@code codes[0]} receives the upper ones, {@code codes[1]} the lower
 * ones. Only the low four bits of each byte count.
 */
final class SplitDigits {
    private static final int HALF = 8; // half the base of the digits of mode U
    private static final float RELEASED_TOP = 6; // largest digit of mode R

    private SplitDigits() {}

    /** {@return the passes of mode U} */
    static List<Pass> unbiased() {
        return List.of(SplitDigits::both);
    }

    /** {@return the passes of mode R} */
    static List<Pass> released() {
        return List.of(
                SplitDigits::upper,
                stretch ->
                        StochasticInteger.round(stretch.spare, -RELEASED_TOP, RELEASED_TOP, stretch, stretch.codes[1]));
    }

    private static void both(Stretch stretch) {
        float top = SplitMode.UNBIASED.top();
        byte[] upper = stretch.codes[0];
        byte[] lower = stretch.codes[1];
        int wordAt = stretch.wordAt;
        for (int i = 0; i < stretch.count; i += WholeLanes.LANES.length()) {
            FloatVector bounded = WholeLanes.bounded(FloatVector.fromArray(WholeLanes.LANES, stretch.t, i), -top, top);
            FloatVector rounded = WholeLanes.stochastic(bounded, WholeLanes.uniform(stretch.words, wordAt + i));
            // The low bits of v are the lower digit's, and (v - lower) / 16 is floor((v + 8) / 16).
            IntVector bits = WholeLanes.bits(rounded);
            IntVector upperBits = bits.add(HALF).lanewise(VectorOperators.LSHR, 4);
            ByteLanes.store(bits, lower, i);
            ByteLanes.store(upperBits, upper, i);
        }
    }

    /** Writes the upper digit of mode R, and to {@code spare} what it leaves over. */
    private static void upper(Stretch stretch) {
        float base = SplitMode.RELEASED.base();
        byte[] upper = stretch.codes[0];
        for (int i = 0; i < stretch.count; i += WholeLanes.LANES.length()) {
            FloatVector value = FloatVector.fromArray(WholeLanes.LANES, stretch.t, i);
            FloatVector digit = WholeLanes.nearest(WholeLanes.bounded(value.div(base), -RELEASED_TOP, RELEASED_TOP));
            IntVector bits = WholeLanes.bits(digit);
            value.sub(digit.mul(base)).intoArray(stretch.spare, i);
            ByteLanes.store(bits, upper, i);
        }
    }
}
