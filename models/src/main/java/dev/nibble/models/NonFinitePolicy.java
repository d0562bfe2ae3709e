package dev.nibble.models;

/** What a run does when NaN or infinity turns up. No weight changes in such a step under either policy. */
public enum NonFinitePolicy {
    /** Ends the run and names the layer and the operand. */
    STOP,
    /** Leaves the step out, counts it, and goes on. */
    SKIP
}
