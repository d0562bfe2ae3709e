package dev.nibble.models;

/** How a run with checkpoints begins. */
public enum Start {
    /** At its first step. Checkpoints of another run in the same folder are set aside. */
    NEW,
    /** From the newest checkpoint, to the same bits as a run without a break; at its first step if there is none. */
    RESUME,
    /**
     * Like {@link #RESUME}, and layers may have another quantizer than they had: the weights, the optimizer and the place in
     * the data go on, and the state of quantizers that are replaced is dropped.
     */
    RESUME_UNDER_ANOTHER_QUANTIZER
}
