package dev.nibble.backend.cuda;

import dev.nibble.quant.Transform;
import dev.nibble.reference.OperandChecks;
import dev.nibble.reference.Transforms;
import dev.nibble.spi.DeviceState;

/** Transforms of matrices on the device: transform.cu. */
final class CudaTransforms {
    private static final String FILE = "transform";
    private static final int CHUNK = 4096; // elements of a block; as in transform.cuh

    private static final long BLOCKS_A_PROCESSOR = 8; // of a launch that mostly does nothing

    private final QuantizeKernels kernels;

    CudaTransforms(QuantizeKernels kernels) {
        this.kernels = kernels;
    }

    /**
     * Writes the transformed matrix.
     *
     * @param to where; x itself is possible
     * @throws IllegalArgumentException if a column scale has not one element a column, or the block that the host chose does not divide
     *     the columns
     */
    void apply(Transform transform, DeviceMatrix x, DeviceState state, long to) {
        apply(transform, x, state, to, false);
    }

    /**
     * Writes the transformed matrix.
     *
     * @param longOnly whether Hadamard blocks that fit a tile are left to the kernel that rounds
     */
    void apply(Transform transform, DeviceMatrix x, DeviceState state, long to, boolean longOnly) {
        Args args = kernels.runtime()
                .args()
                .pointer(x.address())
                .pointer(to)
                .i64(x.rows())
                .i64(x.cols());
        switch (transform) {
            case Transform.Identity _ -> throw new IllegalStateException("the identity is no kernel");
            case Transform.BlockHadamard hadamard -> {
                CudaTensor log2 = CudaTensor.of(state.get(hadamard.state()));
                log2.scalar().ifPresent(value -> Transforms.log2(hadamard, value, x.cols()));
                args.floats(log2).i32(longOnly ? 1 : 0).about(x.tensor());
                long chunks = Math.ceilDiv(x.elements(), CHUNK);
                long few = BLOCKS_A_PROCESSOR * kernels.runtime().device().processors();
                kernels.launch(FILE, "transform_hadamard", longOnly ? Math.min(few, chunks) : chunks, 1, args);
            }
            case Transform.ColumnScale scale -> {
                CudaTensor d = CudaTensor.of(state.get(scale.state()));
                OperandChecks.requireVector("state vector '" + scale.state() + "'", d, x.cols());
                args.floats(d).i32(scale.inverse() ? 1 : 0).about(x.tensor());
                kernels.launch(FILE, "transform_columns", x.elements(), QuantizeKernels.BLOCK, args);
            }
        }
    }
}
