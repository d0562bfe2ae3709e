package dev.nibble.tensor;

/** What memory is for; every allocator counts its live bytes by tag. */
public enum MemoryTag {
    /** Master weights. */
    PARAMETER,
    /** Gradients of master weights. */
    GRADIENT,
    /** Moments of the optimizer. */
    OPTIMIZER,
    /** Quantizer state and other small device values, and the keys and values that a generator keeps. */
    STATE,
    /** Kept from the forward for the backward pass: what {@code savedActivationBytes} counts. */
    CONTEXT,
    /** Everything that lives for a moment. */
    SCRATCH
}
