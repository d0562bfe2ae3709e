package dev.nibble.state;

/** The device vectors besides its own state that a layer's state program can read. */
public enum StateInput {
    /** The {@code Statistic}s of the layer's input in this forward pass. */
    INPUT_STATISTICS,
    /** The {@code Statistic}s of the layer's weight when it was last quantized. */
    WEIGHT_STATISTICS,
    /** The {@code Statistic}s of the layer's output gradient in this backward pass. */
    GRAD_OUTPUT_STATISTICS,
    /** The optimizer's control vector: see {@code Control}. */
    CONTROL,
    /** The layer's input X itself, [tokens, in], before it is quantized; only {@code COLUMN_AMAX} reads a matrix. */
    INPUT
}
