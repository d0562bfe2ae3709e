package dev.nibble.backend.cuda;

import dev.nibble.spi.PlanRequest;
import dev.nibble.spi.StepContext;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Shape;

/**
 * The numbers that change from step to step, on the device: kernels read them there ({@code StepInfo} in common.cuh), so that a
 * recorded step can be replayed.
 */
final class StepInfo {
    private static final int WORDS = 8;

    private final CudaTensor words; // [WORDS], in the order of the structure in common.cuh
    private final Staging staging;
    private final long seed;

    StepInfo(CudaMemory memory, Staging staging, long seed) {
        this.words = memory.allocateOwn("step info", DType.INT32, Shape.of(WORDS));
        this.staging = staging;
        this.seed = seed;
    }

    /** {@return the address of the structure; never changes} */
    long address() {
        return words.address();
    }

    /** Enqueues the numbers of a step. */
    void write(StepContext context) {
        staging.write(address(), words(context, seed), 0, WORDS);
    }

    static int[] words(StepContext context, long seed) {
        return new int[] {
            context.step(),
            context.microBatch(),
            context.mode().ordinal(),
            Float.floatToRawIntBits(context.learningRate()),
            context.phase() == PlanRequest.Phase.LOW_BIT ? 0 : 1,
            (int) seed,
            (int) (seed >>> 32),
            0
        };
    }
}
