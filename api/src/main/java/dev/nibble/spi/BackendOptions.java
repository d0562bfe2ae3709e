package dev.nibble.spi;

import dev.nibble.tensor.DType;

/**
 * What a run asks of a backend.
 *
 * @param seed seed of every random draw
 * @param threads host threads that compute; 0 for as many as there are processors. Never changes a number.
 * @param strict whether a product that does not run as asked for is an error
 * @param attention FP32, or BF16 if q, k, v, probabilities and gradients may be rounded to it where {@link NeuralOps#attention}
 *     and its backward pass multiply them. Sums and softmax stay FP32. A backend that has no such kernels computes in FP32, and
 *     its log says so
 */
public record BackendOptions(long seed, int threads, boolean strict, DType attention) {
    /** Checks the thread count, and attention. */
    public BackendOptions {
        if (threads < 0) {
            throw new IllegalArgumentException("threads is " + threads + ", but must be 0 (all) or more");
        }
        if (attention != DType.FP32 && attention != DType.BF16) {
            throw new IllegalArgumentException("attention is " + attention + ", but must be FP32 or BF16");
        }
    }

    /** Makes options of a run with attention in FP32. */
    public BackendOptions(long seed, int threads, boolean strict) {
        this(seed, threads, strict, DType.FP32);
    }

    /** {@return these options with all processors, not strict} */
    public static BackendOptions withSeed(long seed) {
        return new BackendOptions(seed, 0, false);
    }
}
