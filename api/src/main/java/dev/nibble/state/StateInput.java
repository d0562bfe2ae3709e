package dev.nibble.state;

/** The device vectors besides its own state that a layer's state program can read. */
public enum StateInput {
    /** The {@code Statistic}s of the layer's input in this forward pass. */
    INPUT_STATISTICS,
    /** The optimizer's control vector: see {@code Control}. */
    CONTROL
}
