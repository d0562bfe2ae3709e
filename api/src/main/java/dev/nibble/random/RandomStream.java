package dev.nibble.random;

import dev.nibble.tensor.Role;

/**
 * Everything of a draw's address but the element: {@code word(e)} is a pure function of this record and of
 * {@code e}, so a draw does not depend on thread counts, tiles or the order of calls.
 *
 * <p>{@code Key = {low32(seed), high32(seed)}; counter = {low32(e>>>2), (e>>>34) | microBatch<<8, step,
 * site<<12 | role<<8 | purpose<<4 | sample}}; word {@code e & 3} of the block.
 *
 * @param seed seed of the run
 * @param step optimizer step, from 0
 * @param microBatch micro-batch within the step, counted over all processes; below 2^24
 * @param site ordinal of the layer in the model; below 2^20
 * @param role what the tensor is to the layer
 * @param purpose a constant of {@link Purpose}
 * @param sample number of the draw of one tensor; below 16
 */
public record RandomStream(long seed, int step, int microBatch, int site, Role role, int purpose, int sample) {
    /** 2^-24: uniform numbers lie on this grid, so that they are exact in FP32. */
    public static final float UNIT = 0x1p-24f;

    /** Checks that each field fits its bits. */
    public RandomStream {
        requireBelow("microBatch", microBatch, 1 << 24);
        requireBelow("site", site, 1 << 20);
        requireBelow("purpose", purpose, 16);
        requireBelow("sample", sample, 16);
    }

    private static void requireBelow(String name, int value, int limit) {
        if (value < 0 || value >= limit) {
            throw new IllegalArgumentException(name + " is " + value + ", but must be in 0.." + (limit - 1));
        }
    }

    /**
     * Writes the four words of elements {@code 4·quad .. 4·quad+3}.
     *
     * @param quad element index divided by 4
     * @param out receives the words at {@code offset}
     * @param offset where to write
     */
    public void quad(long quad, int[] out, int offset) {
        int address = site << 12 | role.code() << 8 | purpose << 4 | sample;
        int high = (int) (quad >>> 32) | microBatch << 8;
        Philox4x32.block((int) quad, high, step, address, (int) seed, (int) (seed >>> 32), out, offset);
    }

    /**
     * {@return the 32 random bits of one element}
     *
     * @param element row-major index in the layer's unpadded logical matrix
     */
    public int word(long element) {
        int[] words = new int[4];
        quad(element >>> 2, words, 0);
        return words[(int) (element & 3)];
    }

    /** {@return a uniform number in [0, 1), a multiple of 2^-24} */
    public float uniform(long element) {
        return fromWord(word(element));
    }

    /**
     * {@return the uniform number that a word stands for: (word >>> 8) · 2^-24}
     *
     * @param word 32 random bits
     */
    public static float fromWord(int word) {
        return (word >>> 8) * UNIT;
    }
}
