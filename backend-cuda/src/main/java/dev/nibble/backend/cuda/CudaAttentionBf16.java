package dev.nibble.backend.cuda;

import static dev.nibble.reference.OperandChecks.requireMatrix;
import static dev.nibble.reference.OperandChecks.requirePacked;
import static dev.nibble.reference.OperandChecks.requireVector;

import dev.nibble.report.ExecutionRow;
import dev.nibble.spi.AttentionShape;
import dev.nibble.spi.NeuralOps.Saved;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.List;

/**
 * Attention on tensor cores (Dao 2023, arXiv:2307.08691): q, k, v, probabilities and gradients are rounded to BF16 where they are
 * multiplied; sums, softmax and results are FP32. The same bits in every run. Sizes of heads without a kernel of their own are
 * computed in FP32.
 */
final class CudaAttentionBf16 implements DeviceAttention {
    private static final int BLOCK = 256;
    private static final int QUERIES = 128; // of a block; also keys, where the gradient is theirs
    private static final int STEP = 64; // keys that the forward pass takes at a time, twice in memory
    private static final int ROUNDED = 8; // numbers that a thread rounds

    /**
     * Kernels of attention_bf16.cu for one size.
     *
     * @param size features of a head
     * @param block threads of the forward pass
     * @param step rows that the gradients take at a time
     */
    private record Kernels(int size, int block, int step) {
        int forwardShared() {
            return (QUERIES + 4 * STEP) * size * Short.BYTES;
        }

        int backwardShared() {
            return (2 * QUERIES + 4 * step) * size * Short.BYTES + 4 * step * Float.BYTES;
        }
    }

    private static final List<Kernels> KERNELS =
            List.of(new Kernels(32, 128, 64), new Kernels(64, 128, 64), new Kernels(128, 256, 32));

    private final CudaRuntime runtime;
    private final CudaAttention exact; // for other sizes
    private final AttentionDescription description = new AttentionDescription();

    CudaAttentionBf16(CudaRuntime runtime, CudaAttention exact) {
        this.runtime = runtime;
        this.exact = exact;
    }

    private List<Kernels> kernels(AttentionShape shape) {
        int room = runtime.device().largestShared();
        return KERNELS.stream()
                .filter(k -> k.size == shape.headSize() && Math.max(k.forwardShared(), k.backwardShared()) <= room)
                .toList();
    }

    private void note(String product, AttentionShape shape, boolean missing) {
        String asked = "bf16 x bf16";
        runtime.log()
                .launched(new ExecutionRow(
                        "attention",
                        product,
                        asked,
                        missing ? "fp32 x fp32" : asked,
                        missing ? "cuda-attention" : "cuda-bf16-attention",
                        missing ? "fp32" : "operands rounded to bf16, fp32 sums on tensor cores",
                        true,
                        missing ? "heads of " + shape.headSize() + " features have no kernel in BF16" : ""));
    }

    private static long blocks(AttentionShape shape) {
        long blocks = Math.ceilDiv(shape.sequence(), QUERIES) * AttentionDescription.tasks(shape);
        return Math.min(Integer.MAX_VALUE, blocks);
    }

    private Kernel kernel(String function) {
        return runtime.kernels().get("attention_bf16", function);
    }

    /** {@return a tensor rounded to BF16; whoever asks closes it} */
    private CudaTensor rounded(Tensor x) {
        long elements = x.shape().elements();
        CudaTensor rounded = runtime.memory().scratch(x.label() + " in BF16", elements * Short.BYTES);
        Args args = runtime.args()
                .floats(x)
                .pointer(rounded.address())
                .i64(elements)
                .about(x);
        kernel("attention_round").launch(elements / ROUNDED, BLOCK, args);
        return rounded;
    }

    @Override
    public Saved forward(StepScope scope, Tensor qkv, AttentionShape shape) {
        requirePacked("qkv", qkv, shape);
        List<Kernels> serving = kernels(shape);
        note("output", shape, serving.isEmpty());
        if (serving.isEmpty()) {
            return exact.forward(scope, qkv, shape);
        }
        Kernels kernels = serving.getFirst();
        Tensor out = scope.allocate("attention", DType.FP32, Shape.of(shape.tokens(), shape.width()));
        Tensor logs = scope.allocate("attention logs", DType.FP32, Shape.of(shape.heads() * shape.tokens()));
        try (CudaTensor operand = rounded(qkv)) {
            Args args = runtime.args()
                    .pointer(operand.address())
                    .floats(out)
                    .floats(logs)
                    .struct(description.of(shape))
                    .i64(AttentionDescription.tasks(shape))
                    .about(qkv);
            kernel("attention_bf16_forward_" + kernels.size)
                    .launch(blocks(shape), 1, 1, kernels.block, kernels.forwardShared(), args);
        }
        return new Saved(out, logs);
    }

    @Override
    public Tensor backward(StepScope scope, Tensor gradOutput, Tensor qkv, Saved forward, AttentionShape shape) {
        requirePacked("qkv", qkv, shape);
        requireMatrix("gradOutput", gradOutput, shape.tokens(), shape.width());
        requireMatrix("output of the forward pass", forward.output(), shape.tokens(), shape.width());
        requireVector("logs of the forward pass", forward.saved(), shape.heads() * shape.tokens());
        List<Kernels> serving = kernels(shape);
        note("gradInput", shape, serving.isEmpty());
        if (serving.isEmpty()) {
            return exact.backward(scope, gradOutput, qkv, forward, shape);
        }
        Kernels kernels = serving.getFirst();
        Tensor gradQkv = scope.allocate("gradient of qkv", DType.FP32, qkv.shape());
        long rows = shape.heads() * shape.tokens();
        try (CudaTensor rowDots = runtime.memory().scratch("gradOutput times output", rows * Float.BYTES);
                CudaTensor dy = rounded(gradOutput);
                CudaTensor operand = rounded(qkv)) {
            description.rowDots(runtime, gradOutput, forward.output(), rowDots, shape);
            for (String gradient : List.of("queries_", "keys_")) {
                Args args = runtime.args()
                        .pointer(dy.address())
                        .pointer(operand.address())
                        .pointer(CudaTensor.floats(forward.saved()))
                        .pointer(rowDots.address())
                        .floats(gradQkv)
                        .struct(description.of(shape))
                        .i64(AttentionDescription.tasks(shape))
                        .about(gradQkv);
                kernel("attention_bf16_backward_" + gradient + kernels.size)
                        .launch(blocks(shape), 1, 1, BLOCK, kernels.backwardShared(), args);
            }
        }
        return gradQkv;
    }
}
