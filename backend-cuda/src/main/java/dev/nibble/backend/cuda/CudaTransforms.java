package dev.nibble.backend.cuda;

import dev.nibble.quant.Transform;
import dev.nibble.reference.OperandChecks;
import dev.nibble.spi.DeviceState;

/** Transforms of matrices on the device: transform.cu. */
final class CudaTransforms {
    private static final String FILE = "transform";
    private static final int CHUNK = 4096; // elements of a block; as in transform.cuh

    private final QuantizeKernels kernels;

    CudaTransforms(QuantizeKernels kernels) {
        this.kernels = kernels;
    }

    /**
     * Writes the transformed matrix.
     *
     * @param to where; x itself is possible
     * @throws IllegalArgumentException if a column scale has not one element a column
     */
    void apply(Transform transform, DeviceMatrix x, DeviceState state, long to) {
        Args args = kernels.runtime()
                .args()
                .pointer(x.address())
                .pointer(to)
                .i64(x.rows())
                .i64(x.cols());
        switch (transform) {
            case Transform.Identity _ -> throw new IllegalStateException("the identity is no kernel");
            case Transform.BlockHadamard hadamard -> {
                args.pointer(CudaTensor.floats(state.get(hadamard.state()))).about(x.tensor());
                kernels.launch(FILE, "transform_hadamard", x.elements(), CHUNK, args);
            }
            case Transform.ColumnScale scale -> {
                CudaTensor d = CudaTensor.of(state.get(scale.state()));
                OperandChecks.requireVector("state vector '" + scale.state() + "'", d, x.cols());
                args.pointer(CudaTensor.floats(d)).i32(scale.inverse() ? 1 : 0).about(x.tensor());
                kernels.launch(FILE, "transform_columns", x.elements(), QuantizeKernels.BLOCK, args);
            }
        }
    }
}
