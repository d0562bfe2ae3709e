package dev.nibble.backend.cuda;

import java.util.ArrayList;
import java.util.List;

/**
 * A product of two matrices, all of a term or a part of it.
 *
 * @param a address on the left
 * @param b address on the right
 * @param term number of the term
 * @param shift bits by which the sums so far of this term are shifted first
 */
record BytePass(long a, long b, int term, int shift) {
    private static final int DIGIT_BITS = 2; // a code beyond a byte is 4 · upper + lower

    /**
     * {@return the passes of a term, by Horner's rule}
     *
     * @param a digits on the left, upper first
     * @param b digits on the right, upper first
     */
    static List<BytePass> ofTerm(List<Long> a, List<Long> b, int term) {
        List<BytePass> passes = new ArrayList<>();
        int last = a.size() + b.size() - 2;
        for (int order = 0; order <= last; order++) {
            int shift = order == 0 ? 0 : DIGIT_BITS;
            for (int i = Math.max(0, order - b.size() + 1); i <= Math.min(order, a.size() - 1); i++) {
                passes.add(new BytePass(a.get(i), b.get(order - i), term, shift));
                shift = 0;
            }
        }
        return passes;
    }
}
