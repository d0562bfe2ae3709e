package dev.nibble.backend.cuda;

import static dev.nibble.reference.OperandChecks.requireVector;

import dev.nibble.reference.OperandChecks;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Tensor;

/** What an encoder with biases, layer normalization and GELU needs: rows without their means, a vector for each row, GELU. */
final class CudaRows {
    private static final int CHUNK_ROWS = 64; // of a partial sum over rows
    private static final int BLOCK = 256;
    private static final int ROWS_OF_BLOCK = 16; // half warps
    private static final int SUM_BLOCK = 1024;
    private static final int SUM_COLS = 32; // of a block

    private final CudaRuntime runtime;

    CudaRows(CudaRuntime runtime) {
        this.runtime = runtime;
    }

    private Kernel kernel(String function) {
        return runtime.kernels().get("rows", function);
    }

    private static long blocks(long work, long each) {
        return Math.clamp(Math.ceilDiv(work, each), 1, Integer.MAX_VALUE);
    }

    /** See {@link dev.nibble.spi.NeuralOps#centerRows}. */
    Tensor center(StepScope scope, Tensor x) {
        Tensor y = scope.allocate("centerRows", DType.FP32, x.shape());
        long rows = x.shape().rows();
        Args args = runtime.args()
                .pointer(CudaTensor.floats(x))
                .pointer(CudaTensor.floats(y))
                .i64(rows)
                .i32(OperandChecks.cols(x))
                .about(y);
        kernel("center_rows").launch(blocks(rows, ROWS_OF_BLOCK), 1, 1, BLOCK, 0, args);
        return y;
    }

    /** See {@link dev.nibble.spi.NeuralOps#addRowInPlace}. */
    void add(Tensor target, Tensor vector) {
        requireVector("vector", vector, target.shape().cols());
        Args args = runtime.args()
                .pointer(CudaTensor.floats(target))
                .pointer(CudaTensor.floats(vector))
                .i64(target.shape().elements())
                .i32(OperandChecks.cols(target))
                .about(target);
        kernel("add_row").launch(blocks(target.shape().elements(), BLOCK), 1, 1, BLOCK, 0, args);
    }

    /** See {@link dev.nibble.spi.NeuralOps#sumRows}. */
    void sum(Tensor x, Tensor vector) {
        int width = OperandChecks.cols(x);
        requireVector("vector", vector, width);
        long rows = x.shape().rows();
        long chunks = Math.ceilDiv(rows, CHUNK_ROWS);
        long bytes = Math.max(1, chunks) * width * Float.BYTES;
        try (CudaTensor partials = runtime.memory().scratch("partial sums", bytes)) {
            Args args = runtime.args()
                    .pointer(CudaTensor.floats(x))
                    .pointer(partials.address())
                    .i64(rows)
                    .i32(width)
                    .about(vector);
            kernel("sum_rows").launch(Math.max(1, chunks), blocks(width, BLOCK), 1, BLOCK, 0, args);
            Args sum = runtime.args()
                    .pointer(partials.address())
                    .pointer(CudaTensor.floats(vector))
                    .i64(chunks)
                    .i32(width)
                    .about(vector);
            runtime.kernels()
                    .get("norm", "rms_norm_add_partials")
                    .launch(blocks(width, SUM_COLS), 1, 1, SUM_BLOCK, 0, sum);
        }
    }

    /** See {@link dev.nibble.spi.NeuralOps#gelu}. */
    void gelu(Tensor x, Tensor y) {
        long elements = x.shape().elements();
        Args args = runtime.args()
                .pointer(CudaTensor.floats(x))
                .pointer(CudaTensor.floats(y))
                .i64(elements)
                .about(y);
        kernel("gelu").launch(blocks(elements, BLOCK), 1, 1, BLOCK, 0, args);
    }

    /** See {@link dev.nibble.spi.NeuralOps#geluBackward}. */
    void geluBackward(Tensor gradOutput, Tensor x, Tensor gradX) {
        long elements = x.shape().elements();
        Args args = runtime.args()
                .pointer(CudaTensor.floats(gradOutput))
                .pointer(CudaTensor.floats(x))
                .pointer(CudaTensor.floats(gradX))
                .i64(elements)
                .about(gradX);
        kernel("gelu_backward").launch(blocks(elements, BLOCK), 1, 1, BLOCK, 0, args);
    }
}
