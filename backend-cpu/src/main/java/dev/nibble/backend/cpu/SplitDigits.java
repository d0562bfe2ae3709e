package dev.nibble.backend.cpu;

import dev.nibble.quant.SplitMode;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorOperators;

/**
 * Both digits of {@link SplitMode} from one draw: {@code codes[0]} receives the upper ones, {@code codes[1]} the lower
 * ones. Only the low four bits of each byte count.
 *
 * @param unbiased mode U rather than R
 */
record SplitDigits(boolean unbiased) implements CodeKernel {
    private static final int HALF = 8; // half the base of the digits of mode U
    private static final float RELEASED_TOP = 6; // largest digit of mode R

    @Override
    public void round(float[] t, int[] words, int wordAt, int count, byte[][] codes) {
        if (unbiased) {
            unbiased(t, words, wordAt, count, codes[0], codes[1]);
        } else {
            released(t, words, wordAt, count, codes[0], codes[1]);
        }
    }

    private static void unbiased(float[] t, int[] words, int wordAt, int count, byte[] upper, byte[] lower) {
        float top = SplitMode.UNBIASED.top();
        for (int i = 0; i < count; i += WholeLanes.LANES.length()) {
            FloatVector bounded = WholeLanes.bounded(FloatVector.fromArray(WholeLanes.LANES, t, i), -top, top);
            FloatVector rounded = WholeLanes.stochastic(bounded, WholeLanes.uniform(words, wordAt + i));
            // The low bits of v are the lower digit's, and (v - lower) / 16 is floor((v + 8) / 16).
            IntVector bits = WholeLanes.bits(rounded);
            ByteLanes.store(bits, lower, i);
            ByteLanes.store(bits.add(HALF).lanewise(VectorOperators.LSHR, 4), upper, i);
        }
    }

    private static void released(float[] t, int[] words, int wordAt, int count, byte[] upper, byte[] lower) {
        float base = SplitMode.RELEASED.base();
        for (int i = 0; i < count; i += WholeLanes.LANES.length()) {
            FloatVector value = FloatVector.fromArray(WholeLanes.LANES, t, i);
            FloatVector digit = WholeLanes.nearest(WholeLanes.bounded(value.div(base), -RELEASED_TOP, RELEASED_TOP));
            ByteLanes.store(WholeLanes.bits(digit), upper, i);
            FloatVector rest = WholeLanes.bounded(value.sub(digit.mul(base)), -RELEASED_TOP, RELEASED_TOP);
            FloatVector rounded = WholeLanes.stochastic(rest, WholeLanes.uniform(words, wordAt + i));
            ByteLanes.store(WholeLanes.bits(rounded), lower, i);
        }
    }
}
