package dev.nibble.backend.cuda;

import static dev.nibble.reference.OperandChecks.requireMatrix;
import static dev.nibble.reference.OperandChecks.requirePacked;
import static dev.nibble.reference.OperandChecks.requireVector;

import dev.nibble.spi.AttentionShape;
import dev.nibble.spi.NeuralOps.Saved;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.List;

/**
 * Attention without a matrix of scores in memory, FP32, to the bits of {@link dev.nibble.reference.ReferenceAttention}. The gradient is
 * computed twice from the scores: once by queries, once by keys, so that each sum belongs to one thread.
 */
final class CudaAttention implements DeviceAttention {
    private static final int BLOCK = 256;

    /**
     * Kernels that serve heads up to a size; the tiles are those of attention.cu.
     *
     * @param size features
     * @param forwardTile queries, and keys, of a tile
     * @param backwardTile the same, of the gradient
     */
    private record Kernels(int size, int forwardTile, int backwardTile) {
        int features(int tile) {
            return tile * (size + 4) * Float.BYTES;
        }

        static int scores(int tile) {
            return tile * (tile + 16) * Float.BYTES;
        }

        int forwardShared() {
            return 2 * features(forwardTile) + scores(forwardTile);
        }

        int queriesShared() {
            return 4 * features(backwardTile) + scores(backwardTile);
        }

        int keysShared() {
            return 4 * features(backwardTile) + 2 * scores(backwardTile);
        }
    }

    private static final List<Kernels> KERNELS = List.of(
            new Kernels(16, 64, 64),
            new Kernels(32, 64, 64),
            new Kernels(64, 64, 64),
            new Kernels(128, 64, 32),
            new Kernels(256, 32, 16));

    private final CudaRuntime runtime;
    private final AttentionDescription description = new AttentionDescription();

    CudaAttention(CudaRuntime runtime) {
        this.runtime = runtime;
    }

    /** {@return the smallest kernels for a head; those of the gradient must fit into shared memory, too} */
    private Kernels kernels(AttentionShape shape) {
        int room = runtime.device().largestShared();
        return KERNELS.stream()
                .filter(k -> k.size >= shape.headSize() && Math.max(k.forwardShared(), k.keysShared()) <= room)
                .findFirst()
                .orElseThrow(() -> new IllegalArgumentException("attention has heads of " + shape.headSize()
                        + " features, but this backend serves at most "
                        + KERNELS.getLast().size));
    }

    private static long blocks(AttentionShape shape, int tile) {
        long tiles = Math.ceilDiv(shape.sequence(), tile);
        return Math.min(Integer.MAX_VALUE, tiles * AttentionDescription.tasks(shape));
    }

    private Kernel kernel(String function, int size) {
        return runtime.kernels().get("attention", function + size);
    }

    @Override
    public Saved forward(StepScope scope, Tensor qkv, AttentionShape shape) {
        requirePacked("qkv", qkv, shape);
        Kernels kernels = kernels(shape);
        Tensor out = scope.allocate("attention", DType.FP32, Shape.of(shape.tokens(), shape.width()));
        Tensor logs = scope.allocate("attention logs", DType.FP32, Shape.of(shape.heads() * shape.tokens()));
        Args args = runtime.args()
                .floats(qkv)
                .floats(out)
                .floats(logs)
                .struct(description.of(shape))
                .i64(AttentionDescription.tasks(shape))
                .about(qkv);
        kernel("attention_forward_", kernels.size)
                .launch(blocks(shape, kernels.forwardTile), 1, 1, BLOCK, kernels.forwardShared(), args);
        return new Saved(out, logs);
    }

    @Override
    public Tensor backward(StepScope scope, Tensor gradOutput, Tensor qkv, Saved forward, AttentionShape shape) {
        requirePacked("qkv", qkv, shape);
        requireMatrix("gradOutput", gradOutput, shape.tokens(), shape.width());
        requireMatrix("output of the forward pass", forward.output(), shape.tokens(), shape.width());
        requireVector("logs of the forward pass", forward.saved(), shape.heads() * shape.tokens());
        Kernels kernels = kernels(shape);
        Tensor gradQkv = scope.allocate("gradient of qkv", DType.FP32, qkv.shape());
        long rows = shape.heads() * shape.tokens();
        try (CudaTensor rowDots = runtime.memory().scratch("gradOutput times output", rows * Float.BYTES)) {
            description.rowDots(runtime, gradOutput, forward.output(), rowDots, shape);
            long blocks = blocks(shape, kernels.backwardTile);
            Gradient gradient = new Gradient(gradOutput, qkv, forward.saved(), rowDots, gradQkv, shape);
            kernel("attention_backward_queries_", kernels.size)
                    .launch(blocks, 1, 1, BLOCK, kernels.queriesShared(), arguments(gradient));
            kernel("attention_backward_keys_", kernels.size)
                    .launch(blocks, 1, 1, BLOCK, kernels.keysShared(), arguments(gradient));
        }
        return gradQkv;
    }

    /** What both kernels of the gradient read and write. */
    private record Gradient(
            Tensor gradOutput, Tensor qkv, Tensor logs, CudaTensor rowDots, Tensor gradQkv, AttentionShape shape) {}

    private Args arguments(Gradient gradient) {
        return runtime.args()
                .pointer(CudaTensor.floats(gradient.gradOutput))
                .pointer(CudaTensor.floats(gradient.qkv))
                .pointer(CudaTensor.floats(gradient.logs))
                .pointer(gradient.rowDots.address())
                .pointer(CudaTensor.floats(gradient.gradQkv))
                .struct(description.of(gradient.shape))
                .i64(AttentionDescription.tasks(gradient.shape))
                .about(gradient.gradQkv);
    }
}
