package dev.nibble.backend.cuda;

import static dev.nibble.reference.OperandChecks.requireVector;

import dev.nibble.reference.OperandChecks;
import dev.nibble.spi.Gelu;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Tensor;

/** What an encoder with biases, layer normalization and GELU needs: rows without their means, a vector for each row, GELU. */
final class CudaRows {
    private static final int BLOCK = 256;
    private static final int LANES = 16; // threads that work on a row

    private final CudaRuntime runtime;
    private final ColumnSums sums;

    CudaRows(CudaRuntime runtime) {
        this.runtime = runtime;
        this.sums = new ColumnSums(runtime);
    }

    private Kernel kernel(String function) {
        return runtime.kernels().get("rows", function);
    }

    /** See {@link dev.nibble.spi.NeuralOps#centerRows}. */
    Tensor center(StepScope scope, Tensor x) {
        Tensor y = scope.allocate("centerRows", DType.FP32, x.shape());
        long rows = x.shape().rows();
        Args args = runtime.args()
                .floats(x)
                .floats(y)
                .i64(rows)
                .i32(OperandChecks.cols(x))
                .about(y);
        kernel("center_rows").launch(rows * LANES, BLOCK, args);
        return y;
    }

    /** See {@link dev.nibble.spi.NeuralOps#addRowInPlace}. */
    void add(Tensor target, Tensor vector) {
        requireVector("vector", vector, target.shape().cols());
        Args args = runtime.args()
                .floats(target)
                .floats(vector)
                .i64(target.shape().elements())
                .i32(OperandChecks.cols(target))
                .about(target);
        kernel("add_row").launch(target.shape().elements(), BLOCK, args);
    }

    /** See {@link dev.nibble.spi.NeuralOps#sumRows}. */
    void sum(Tensor x, Tensor vector) {
        int width = OperandChecks.cols(x);
        requireVector("vector", vector, width);
        try (CudaTensor partials = sums.partials(x)) {
            sums.ofRows(x, partials);
            sums.finish(x, partials, 0, CudaTensor.floats(vector));
        }
    }

    /** See {@link dev.nibble.spi.NeuralOps#gelu}. */
    void gelu(Tensor x, Gelu form, Tensor y) {
        long elements = x.shape().elements();
        Args args = runtime.args().floats(x).floats(y).i64(elements).about(y);
        kernel(form == Gelu.TANH ? "gelu_tanh" : "gelu").launch(elements, BLOCK, args);
    }

    /** See {@link dev.nibble.spi.NeuralOps#geluBackward}. */
    void geluBackward(Tensor gradOutput, Tensor x, Gelu form, Tensor gradX) {
        long elements = x.shape().elements();
        Args args = runtime.args()
                .floats(gradOutput)
                .floats(x)
                .floats(gradX)
                .i64(elements)
                .about(gradX);
        kernel(form == Gelu.TANH ? "gelu_tanh_backward" : "gelu_backward").launch(elements, BLOCK, args);
    }
}
