package dev.nibble.models.data;

/** Sequences of a text, one after the other. */
public final class TextBatch {
    private final int[] ids; // [batch · sequence]
    private final int[] targets; // [batch · sequence]

    TextBatch(int[] ids, int[] targets) {
        this.ids = ids;
        this.targets = targets;
    }

    /** {@return the tokens, [batch · sequence]; the caller must not change them} */
    public int[] ids() {
        return ids;
    }

    /** {@return for each token the one after it, [batch · sequence]; the caller must not change them} */
    public int[] targets() {
        return targets;
    }
}
