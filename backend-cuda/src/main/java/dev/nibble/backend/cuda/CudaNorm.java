package dev.nibble.backend.cuda;

import static dev.nibble.reference.OperandChecks.requireMatrix;
import static dev.nibble.reference.OperandChecks.requireVector;

import dev.nibble.reference.OperandChecks;
import dev.nibble.spi.NeuralOps.Saved;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;

/** RMSNorm: rows are staged in shared memory, several a block, where they fit. */
final class CudaNorm {
    private static final int BLOCK = 256;
    private static final int WIDE_BLOCK = 512;
    private static final int MOST_ROWS = 16; // staged at once: half warps of a block
    private static final int SHARED = 27 * 1024; // bytes that leave room for eight blocks
    private static final int BACKWARD_ROWS = 8;
    private static final int BACKWARD_SHARED = 220 * 1024; // one block a processor, if that makes its rows more
    private static final int BACKWARD_HEADER = 64; // floats

    private final CudaRuntime runtime;
    private final ColumnSums sums;

    CudaNorm(CudaRuntime runtime) {
        this.runtime = runtime;
        this.sums = new ColumnSums(runtime);
    }

    /**
     * How a launch stages rows.
     *
     * @param rows at once
     * @param bytes of shared memory
     */
    private record Staged(int rows, long bytes) {
        /**
         * {@return as many rows as stay within a budget, but at least one}
         *
         * @param most rows
         * @param copies places of each row
         * @param more other rows of a block
         * @param header floats before them
         */
        static Staged of(long width, int most, int copies, int more, int header, int budget) {
            long pitch = (width + 15) / 32 * 32 + 16; // floats; as in norm.cu
            int rows = most;
            while (rows > 1 && bytes(pitch, copies * rows + more, header) > budget) {
                rows /= 2;
            }
            return new Staged(rows, bytes(pitch, copies * rows + more, header));
        }

        private static long bytes(long pitch, int rows, int header) {
            return (header + pitch * rows) * Float.BYTES;
        }
    }

    private Kernel kernel(String function) {
        return runtime.kernels().get("norm", function);
    }

    /** See {@link dev.nibble.spi.NeuralOps#rmsNorm}. */
    Saved forward(StepScope scope, Tensor x, Tensor weight, float epsilon) {
        long rows = x.shape().rows();
        int width = OperandChecks.cols(x);
        requireVector("weight", weight, width);
        Tensor y = scope.allocate("rmsNorm", DType.FP32, x.shape());
        Tensor r = scope.allocate("inverseRms", DType.FP32, Shape.of(rows));
        int room = runtime.device().largestShared();
        Staged rowsAtOnce = Staged.of(width, MOST_ROWS, 1, 0, MOST_ROWS, Math.min(SHARED, room));
        boolean fits = rowsAtOnce.bytes <= room;
        Staged staged = fits ? rowsAtOnce : new Staged(MOST_ROWS, MOST_ROWS * Float.BYTES);
        Args args = runtime.args()
                .floats(x)
                .floats(weight)
                .floats(y)
                .floats(r)
                .i64(rows)
                .i32(width)
                .f32(epsilon)
                .i32(staged.rows)
                .i32(fits ? 1 : 0)
                .about(y);
        long blocks = Math.max(1, Math.ceilDiv(rows, staged.rows));
        kernel("rms_norm").launch(blocks, 1, 1, BLOCK, (int) staged.bytes, args);
        return new Saved(y, r);
    }

    /** See {@link dev.nibble.spi.NeuralOps#rmsNormBackward}. */
    Tensor backward(StepScope scope, Tensor gradOutput, Tensor x, Tensor inverseRms, Tensor weight, Tensor gradWeight) {
        long rows = x.shape().rows();
        int width = OperandChecks.cols(x);
        requireMatrix("gradOutput", gradOutput, rows, width);
        requireVector("inverseRms", inverseRms, rows);
        requireVector("weight", weight, width);
        requireVector("gradWeight", gradWeight, width);
        Tensor gradX = scope.allocate("gradient of rmsNorm", DType.FP32, x.shape());
        long chunks = Math.max(1, ColumnSums.chunks(rows));
        int room = runtime.device().largestShared();
        Staged staged = Staged.of(width, BACKWARD_ROWS, 4, 2, BACKWARD_HEADER, Math.min(BACKWARD_SHARED, room));
        boolean fits = staged.bytes <= room;
        try (CudaTensor partials = sums.partials(x)) {
            Args args = runtime.args()
                    .floats(gradOutput)
                    .floats(x)
                    .floats(inverseRms)
                    .floats(weight)
                    .floats(gradX)
                    .pointer(partials.address())
                    .i64(rows)
                    .i32(width)
                    .about(gradX);
            if (fits) {
                args.i32(staged.rows);
                kernel("rms_norm_backward").launch(chunks, 1, 1, BLOCK, (int) staged.bytes, args);
            } else {
                kernel("rms_norm_backward_wide").launch(chunks, 1, 1, WIDE_BLOCK, 0, args);
            }
            sums.finish(x, partials, 0, CudaTensor.floats(gradWeight));
        }
        return gradX;
    }
}
