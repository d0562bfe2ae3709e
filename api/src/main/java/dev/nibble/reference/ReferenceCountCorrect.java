package dev.nibble.reference;

/** How often the largest logit of a row is at its target. */
public final class ReferenceCountCorrect {
    private ReferenceCountCorrect() {}

    /**
     * {@return how many of rows {@code from} to {@code to - 1} have a target's logit above every one before it and not
     * below any after it} So of equal logits the first is the answer, and with a NaN there is none.
     *
     * @param logits [rows, classes]
     * @param targets [rows]
     */
    public static int rows(float[] logits, int[] targets, int classes, int from, int to) {
        int correct = 0;
        for (int row = from; row < to; row++) {
            int start = row * classes;
            float answer = logits[start + targets[row]];
            boolean largest = true;
            for (int i = 0; i < classes; i++) {
                float other = logits[start + i];
                largest &= i < targets[row] ? answer > other : answer >= other;
            }
            correct += largest ? 1 : 0;
        }
        return correct;
    }
}
