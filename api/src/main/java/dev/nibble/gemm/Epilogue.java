package dev.nibble.gemm;

/** What happens to a finished sum. */
public enum Epilogue {
    /** D = sum. */
    STORE,
    /** D = D + sum: gradients of micro-batches, and of a weight that several layers use. */
    ADD
}
