package dev.nibble.backend.cuda;

import dev.nibble.spi.AttentionShape;
import dev.nibble.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** What all attention kernels are told: the structure {@code Attention} of attention.cu; and the kernel that they share. */
final class AttentionDescription {
    private static final int BYTES = 20; // of the structure
    private static final int BLOCK = 256;
    private static final int LANES = 16; // threads that sum a row

    private final MemorySegment structure = Arena.ofAuto().allocate(BYTES, Integer.BYTES);

    /** {@return the structure of a shape; the same memory every time} */
    MemorySegment of(AttentionShape shape) {
        structure.setAtIndex(ValueLayout.JAVA_INT, 0, shape.sequence());
        structure.setAtIndex(ValueLayout.JAVA_INT, 1, shape.heads());
        structure.setAtIndex(ValueLayout.JAVA_INT, 2, shape.headSize());
        structure.setAtIndex(ValueLayout.JAVA_INT, 3, shape.causal() ? 1 : 0);
        structure.setAtIndex(ValueLayout.JAVA_FLOAT, 4, (float) (1 / Math.sqrt(shape.headSize())));
        return structure;
    }

    /** {@return heads of all sequences} */
    static long tasks(AttentionShape shape) {
        return (long) shape.batch() * shape.heads();
    }

    /**
     * Computes {@code Σ gradOutput · output} over the features of each head.
     *
     * @param rowDots FP32, [heads · tokens], laid out like the logs
     */
    void rowDots(CudaRuntime runtime, Tensor gradOutput, Tensor output, CudaTensor rowDots, AttentionShape shape) {
        Args args = runtime.args()
                .pointer(CudaTensor.floats(gradOutput))
                .pointer(CudaTensor.floats(output))
                .pointer(rowDots.address())
                .struct(of(shape))
                .i64(tasks(shape))
                .about(gradOutput);
        long threads = shape.heads() * shape.tokens() * LANES;
        runtime.kernels().get("attention", "attention_row_dots").launch(threads, BLOCK, args);
    }
}
