package dev.nibble.backend.cuda;

import static dev.nibble.reference.OperandChecks.requireMatrix;
import static dev.nibble.reference.OperandChecks.requirePacked;

import dev.nibble.reference.OperandChecks;
import dev.nibble.spi.AttentionShape;
import dev.nibble.spi.BlockCopy;
import dev.nibble.spi.Gelu;
import dev.nibble.spi.KeyValueShape;
import dev.nibble.spi.NeuralOps;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;

/**
 * The neural operations on the device, to the bits of {@link dev.nibble.reference.ReferenceNeural}. Numbers of tokens and classes that
 * lie outside their table cannot be refused here, since they are on the device: they become NaN.
 */
final class CudaNeural implements NeuralOps {
    private static final int BLOCK = 256;
    private static final int ROW_BLOCK = 192; // threads that copy or turn a row
    private static final int MOST_BUCKETS = 512; // of rows of a table: each of them looks at all tokens
    private static final int LANES = 16; // threads that sum a row

    private final CudaRuntime runtime;
    private final CudaNorm norm;
    private final CudaRows rowOperations;
    private final DeviceAttention attention;
    private final CudaLoss loss;
    private final RotaryAngles angles;
    private final CudaCachedAttention cachedAttention;

    CudaNeural(CudaRuntime runtime, DType arithmetic) {
        this.runtime = runtime;
        this.norm = new CudaNorm(runtime);
        this.rowOperations = new CudaRows(runtime);
        this.attention = DeviceAttention.of(runtime, arithmetic);
        this.loss = new CudaLoss(runtime);
        this.angles = new RotaryAngles(runtime);
        this.cachedAttention = new CudaCachedAttention(runtime, angles);
    }

    private Kernel elementwise(String function) {
        return runtime.kernels().get("elementwise", function);
    }

    /** {@return threads for so many elements, four a thread} */
    private static long quads(long elements) {
        return Math.ceilDiv(elements, 4);
    }

    @Override
    public void zero(StepScope scope, Tensor tensor) {
        long address = CudaTensor.floats(tensor);
        runtime.stream().fill(address, (byte) 0, tensor.shape().elements() * Float.BYTES);
    }

    @Override
    public void addInPlace(StepScope scope, Tensor target, Tensor addend) {
        requireMatrix("addend", addend, target.shape().rows(), target.shape().cols());
        long elements = target.shape().elements();
        Args args = runtime.args().floats(target).floats(addend).i64(elements).about(target);
        elementwise("add_in_place").launch(quads(elements), BLOCK, args);
    }

    @Override
    public Tensor embedding(StepScope scope, Tensor ids, Tensor table) {
        long tokens = ids.shape().elements();
        int width = OperandChecks.cols(table);
        CudaTensor.requireBelow("ids", ids, OperandChecks.rows(table));
        Tensor y = scope.allocate("embedding", DType.FP32, Shape.of(tokens, width));
        Args args = runtime.args()
                .ints(ids)
                .floats(table)
                .floats(y)
                .i64(tokens)
                .i32(OperandChecks.rows(table))
                .i32(width)
                .about(y);
        runtime.kernels().get("embedding", "embedding").launch(Math.max(1, tokens), 1, 1, ROW_BLOCK, 0, args);
        return y;
    }

    @Override
    public void embeddingBackward(StepScope scope, Tensor ids, Tensor gradOutput, Tensor gradTable) {
        long tokens = ids.shape().elements();
        int vocabulary = OperandChecks.rows(gradTable);
        int width = OperandChecks.cols(gradTable);
        requireMatrix("gradOutput", gradOutput, tokens, width);
        CudaTensor.requireBelow("ids", ids, vocabulary);
        int buckets = Math.min(vocabulary, MOST_BUCKETS);
        if (buckets == 0 || width == 0) {
            return;
        }
        Args args = runtime.args()
                .ints(ids)
                .floats(gradOutput)
                .floats(gradTable)
                .i64(tokens)
                .i32(vocabulary)
                .i32(width)
                .i32(buckets)
                .about(gradTable);
        runtime.kernels()
                .get("embedding", "embedding_backward")
                .launch(buckets, buckets < MOST_BUCKETS ? Math.ceilDiv(width, BLOCK) : 1, 1, BLOCK, 0, args);
    }

    @Override
    public Saved rmsNorm(StepScope scope, Tensor x, Tensor weight, float epsilon) {
        return norm.forward(scope, x, weight, epsilon);
    }

    @Override
    public Tensor rmsNormBackward(
            StepScope scope, Tensor gradOutput, Tensor x, Tensor inverseRms, Tensor weight, Tensor gradWeight) {
        return norm.backward(scope, gradOutput, x, inverseRms, weight, gradWeight);
    }

    @Override
    public Tensor centerRows(StepScope scope, Tensor x) {
        return rowOperations.center(scope, x);
    }

    @Override
    public void addRowInPlace(StepScope scope, Tensor target, Tensor vector) {
        rowOperations.add(target, vector);
    }

    @Override
    public void sumRows(StepScope scope, Tensor x, Tensor vector) {
        rowOperations.sum(x, vector);
    }

    @Override
    public void rotateInPlace(StepScope scope, Tensor qkv, AttentionShape shape, float base, boolean inverse) {
        requirePacked("qkv", qkv, shape);
        long table = angles.address(shape, base);
        Args args = runtime.args()
                .floats(qkv)
                .pointer(table)
                .i64(shape.tokens())
                .i32(shape.sequence())
                .i32(shape.heads())
                .i32(shape.headSize() / 2)
                .i32(inverse ? 1 : 0)
                .about(qkv);
        runtime.kernels().get("rotary", "rotate_in_place").launch(shape.tokens(), 1, 1, BLOCK, 0, args);
    }

    @Override
    public Saved attention(StepScope scope, Tensor qkv, AttentionShape shape) {
        return attention.forward(scope, qkv, shape);
    }

    @Override
    public Tensor attentionBackward(
            StepScope scope, Tensor gradOutput, Tensor qkv, Saved forward, AttentionShape shape) {
        return attention.backward(scope, gradOutput, qkv, forward, shape);
    }

    @Override
    public Tensor cachedAttention(StepScope scope, Tensor qkv, Tensor places, Tensor cache, KeyValueShape shape) {
        return cachedAttention.forward(scope, qkv, places, cache, shape);
    }

    @Override
    public Tensor swiGlu(StepScope scope, Tensor gateUp) {
        int hidden = OperandChecks.hiddenOf(gateUp);
        long rows = gateUp.shape().rows();
        Tensor h = scope.allocate("swiGlu", DType.FP32, Shape.of(rows, hidden));
        Args args =
                runtime.args().floats(gateUp).floats(h).i64(rows).i32(hidden).about(h);
        elementwise("swiglu").launch(quads(rows * hidden), BLOCK, args);
        return h;
    }

    @Override
    public Tensor swiGluBackward(StepScope scope, Tensor gradOutput, Tensor gateUp) {
        int hidden = OperandChecks.hiddenOf(gateUp);
        long rows = gateUp.shape().rows();
        requireMatrix("gradOutput", gradOutput, rows, hidden);
        Tensor gradGateUp = scope.allocate("gradient of gateUp", DType.FP32, gateUp.shape());
        Args args = runtime.args()
                .floats(gradOutput)
                .floats(gateUp)
                .floats(gradGateUp)
                .i64(rows)
                .i32(hidden)
                .about(gradGateUp);
        elementwise("swiglu_backward").launch(quads(rows * hidden), BLOCK, args);
        return gradGateUp;
    }

    @Override
    public Tensor relu(StepScope scope, Tensor x) {
        long elements = x.shape().elements();
        Tensor y = scope.allocate("relu", DType.FP32, x.shape());
        Args args = runtime.args().floats(x).floats(y).i64(elements).about(y);
        elementwise("relu").launch(quads(elements), BLOCK, args);
        return y;
    }

    @Override
    public Tensor reluBackward(StepScope scope, Tensor gradOutput, Tensor y) {
        requireMatrix("gradOutput", gradOutput, y.shape().rows(), y.shape().cols());
        long elements = y.shape().elements();
        Tensor gradX = scope.allocate("gradient of relu", DType.FP32, y.shape());
        Args args = runtime.args()
                .floats(gradOutput)
                .floats(y)
                .floats(gradX)
                .i64(elements)
                .about(gradX);
        elementwise("relu_backward").launch(quads(elements), BLOCK, args);
        return gradX;
    }

    @Override
    public Tensor gelu(StepScope scope, Tensor x, Gelu form) {
        Tensor y = scope.allocate("gelu", DType.FP32, x.shape());
        rowOperations.gelu(x, form, y);
        return y;
    }

    @Override
    public Tensor geluBackward(StepScope scope, Tensor gradOutput, Tensor x, Gelu form) {
        requireMatrix("gradOutput", gradOutput, x.shape().rows(), x.shape().cols());
        Tensor gradX = scope.allocate("gradient of gelu", DType.FP32, x.shape());
        rowOperations.geluBackward(gradOutput, x, form, gradX);
        return gradX;
    }

    @Override
    public Tensor meanRows(StepScope scope, Tensor x, int group) {
        int groups = OperandChecks.groupsOf(x, group);
        int width = OperandChecks.cols(x);
        Tensor y = scope.allocate("meanRows", DType.FP32, Shape.of(groups, width));
        means("mean_rows", x, y, groups, group, width);
        return y;
    }

    @Override
    public Tensor meanRowsBackward(StepScope scope, Tensor gradOutput, int group) {
        OperandChecks.requirePositive("group", group);
        int groups = OperandChecks.rows(gradOutput);
        int width = OperandChecks.cols(gradOutput);
        Tensor gradX =
                scope.allocate("gradient of meanRows", DType.FP32, Shape.of(Math.multiplyExact(groups, group), width));
        means("mean_rows_backward", gradOutput, gradX, groups, group, width);
        return gradX;
    }

    private void means(String function, Tensor source, Tensor target, int groups, int group, int width) {
        Args args = runtime.args()
                .floats(source)
                .floats(target)
                .i64(groups)
                .i32(group)
                .i32(width)
                .about(target);
        elementwise(function).launch(target.shape().elements(), BLOCK, args);
    }

    @Override
    public void crossEntropy(
            StepScope scope, Tensor logits, Tensor targets, int first, Tensor loss, float weight, boolean gradient) {
        this.loss.crossEntropy(logits, targets, first, loss, weight, gradient);
    }

    @Override
    public void countCorrect(StepScope scope, Tensor logits, Tensor targets, Tensor count) {
        loss.countCorrect(logits, targets, count);
    }

    @Override
    public void copyBlock(StepScope scope, Tensor source, Tensor target, BlockCopy copy) {
        OperandChecks.requireBlock("source", source, copy.fromRow(), copy.fromCol(), copy.rows(), copy.cols());
        OperandChecks.requireBlock("target", target, copy.toRow(), copy.toCol(), copy.targetRows(), copy.targetCols());
        long from = copy.fromRow() * source.shape().cols() + copy.fromCol();
        long to = copy.toRow() * target.shape().cols() + copy.toCol();
        Args args = runtime.args()
                .pointer(CudaTensor.floats(source) + from * Float.BYTES)
                .i64(source.shape().cols())
                .pointer(CudaTensor.floats(target) + to * Float.BYTES)
                .i64(target.shape().cols())
                .i64(copy.rows())
                .i32(copy.cols())
                .about(target);
        String function = copy.transposed() ? "copy_block_transposed" : "copy_block";
        elementwise(function).launch(quads((long) copy.rows() * copy.cols()), BLOCK, args);
    }

    @Override
    public Tensor softmax(StepScope scope, Tensor scores, float scale, boolean causal) {
        int keys = OperandChecks.keysOf("scores", scores, scale, causal);
        long rows = scores.shape().rows();
        Tensor p = scope.allocate("softmax", DType.FP32, scores.shape());
        Args args = runtime.args()
                .floats(scores)
                .floats(p)
                .i64(rows)
                .i32(keys)
                .f32(scale)
                .i32(causal ? 1 : 0)
                .about(p);
        runtime.kernels().get("softmax", "softmax_rows").launch(rows * LANES, BLOCK, args);
        return p;
    }

    @Override
    public Tensor softmaxBackward(StepScope scope, Tensor gradOutput, Tensor p, float scale, boolean causal) {
        int keys = OperandChecks.keysOf("p", p, scale, causal);
        long rows = p.shape().rows();
        requireMatrix("gradOutput", gradOutput, rows, keys);
        Tensor gradScores = scope.allocate("gradient of softmax", DType.FP32, p.shape());
        Args args = runtime.args()
                .floats(gradOutput)
                .floats(p)
                .floats(gradScores)
                .i64(rows)
                .i32(keys)
                .f32(scale)
                .i32(causal ? 1 : 0)
                .about(gradScores);
        runtime.kernels().get("softmax", "softmax_rows_backward").launch(rows * LANES, BLOCK, args);
        return gradScores;
    }
}
