package dev.nibble.reference;

import static dev.nibble.host.HostTensor.floats;
import static dev.nibble.host.HostTensor.ints;
import static dev.nibble.reference.OperandChecks.cols;
import static dev.nibble.reference.OperandChecks.requireBelow;
import static dev.nibble.reference.OperandChecks.requireMatrix;
import static dev.nibble.reference.OperandChecks.requirePacked;
import static dev.nibble.reference.OperandChecks.requireVector;
import static dev.nibble.reference.OperandChecks.rows;

import dev.nibble.host.HostRuntime;
import dev.nibble.host.HostTensor;
import dev.nibble.spi.AttentionShape;
import dev.nibble.spi.BlockCopy;
import dev.nibble.spi.Gelu;
import dev.nibble.spi.KeyValueShape;
import dev.nibble.spi.NeuralOps;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.Arrays;

/**
 * The neural operations in plain Java: the specification. Cut into tasks, so that a backend can run the very same
 * loops on its threads.
 */
public final class ReferenceNeural implements NeuralOps {
    private static final int CHUNK_ELEMENTS = 1 << 15; // of an elementwise task
    private static final int CHUNK_COLS = 64; // of a gradient of a table
    private static final int CHUNK_GROUPS = 8; // of rows that are averaged

    private final HostRuntime runtime;
    private final Tasks tasks;
    private final Exponentials functions;
    private ReferenceRotary rotary; // of the shape that was rotated last
    private ReferenceCachedAttention cached; // of the shape of the last cache

    /** Makes operations that run one task after the other. */
    public ReferenceNeural(HostRuntime runtime) {
        this(runtime, Tasks.IN_ORDER, Exponentials.SCALAR);
    }

    /**
     * Makes operations.
     *
     * @param runtime what the operations of the backend share
     * @param tasks runs their tasks
     * @param functions exponential and sigmoid; those of {@link Exponentials#SCALAR}, bit for bit
     */
    public ReferenceNeural(HostRuntime runtime, Tasks tasks, Exponentials functions) {
        this.runtime = runtime;
        this.tasks = tasks;
        this.functions = functions;
        this.rotary = new ReferenceRotary(new AttentionShape(1, 1, 1, 2), 1f);
        this.cached = new ReferenceCachedAttention(new KeyValueShape(1, 1, 1, 2, 0));
    }

    @Override
    public void zero(StepScope scope, Tensor tensor) {
        float[] x = floats(tensor); // [elements]
        tasks.forEachChunk(x.length, CHUNK_ELEMENTS, (from, to) -> Arrays.fill(x, from, to, 0f));
    }

    @Override
    public void addInPlace(StepScope scope, Tensor target, Tensor addend) {
        requireMatrix("addend", addend, target.shape().rows(), target.shape().cols());
        float[] sum = floats(target); // [elements]
        float[] x = floats(addend); // [elements]
        tasks.forEachChunk(sum.length, CHUNK_ELEMENTS, (from, to) -> {
            for (int i = from; i < to; i++) {
                sum[i] += x[i];
            }
        });
    }

    @Override
    public Tensor embedding(StepScope scope, Tensor ids, Tensor table) {
        int[] tokens = ints(ids); // [tokens]
        requireBelow("ids", tokens, rows(table));
        int width = cols(table);
        Tensor y = scope.allocate("embedding", DType.FP32, Shape.of(tokens.length, width));
        tasks.forEachChunk(
                tokens.length,
                (from, to) -> ReferenceEmbedding.forward(tokens, floats(table), width, from, to, floats(y)));
        return y;
    }

    @Override
    public void embeddingBackward(StepScope scope, Tensor ids, Tensor gradOutput, Tensor gradTable) {
        int[] tokens = ints(ids); // [tokens]
        requireBelow("ids", tokens, rows(gradTable));
        int width = cols(gradTable);
        requireMatrix("gradOutput", gradOutput, tokens.length, width);
        tasks.forEachChunk(
                width,
                CHUNK_COLS,
                (from, to) ->
                        ReferenceEmbedding.backward(tokens, floats(gradOutput), width, from, to, floats(gradTable)));
    }

    @Override
    public Saved rmsNorm(StepScope scope, Tensor x, Tensor weight, float epsilon) {
        requireVector("weight", weight, x.shape().cols());
        Tensor y = scope.allocate("rmsNorm", DType.FP32, x.shape());
        Tensor r = scope.allocate("inverseRms", DType.FP32, Shape.of(x.shape().rows()));
        tasks.forEachChunk(
                rows(x),
                (from, to) ->
                        ReferenceRmsNorm.forward(floats(x), floats(weight), epsilon, from, to, floats(y), floats(r)));
        return new Saved(y, r);
    }

    @Override
    public Tensor rmsNormBackward(
            StepScope scope, Tensor gradOutput, Tensor x, Tensor inverseRms, Tensor weight, Tensor gradWeight) {
        requireMatrix("gradOutput", gradOutput, x.shape().rows(), x.shape().cols());
        requireVector("inverseRms", inverseRms, x.shape().rows());
        requireVector("weight", weight, x.shape().cols());
        requireVector("gradWeight", gradWeight, x.shape().cols());
        Tensor gradX = scope.allocate("gradient of rmsNorm", DType.FP32, x.shape());
        int width = cols(x);
        int chunks = Math.ceilDiv(rows(x), Tasks.CHUNK_ROWS);
        try (HostTensor partials = runtime.memory()
                .allocate("partial gradWeight", DType.FP32, Shape.of(chunks, width), MemoryTag.SCRATCH)) {
            float[] parts = floats(partials); // [chunks, width]
            float[] dy = floats(gradOutput); // [rows, width]
            float[] r = floats(inverseRms); // [rows]
            tasks.forEachChunk(rows(x), (from, to) -> {
                ReferenceRmsNorm.gradX(dy, floats(x), r, floats(weight), from, to, floats(gradX));
                ReferenceRmsNorm.gradWeightPartial(dy, floats(x), r, width, from, to, parts);
            });
            ReferenceRmsNorm.addPartials(parts, chunks, floats(gradWeight));
        }
        return gradX;
    }

    @Override
    public Tensor centerRows(StepScope scope, Tensor x) {
        Tensor y = scope.allocate("centerRows", DType.FP32, x.shape());
        int width = cols(x);
        tasks.forEachChunk(rows(x), (from, to) -> ReferenceRows.center(floats(x), width, from, to, floats(y)));
        return y;
    }

    @Override
    public void addRowInPlace(StepScope scope, Tensor target, Tensor vector) {
        requireVector("vector", vector, target.shape().cols());
        tasks.forEachChunk(rows(target), (from, to) -> ReferenceRows.add(floats(target), floats(vector), from, to));
    }

    @Override
    public void sumRows(StepScope scope, Tensor x, Tensor vector) {
        requireVector("vector", vector, x.shape().cols());
        int width = cols(x);
        int chunks = Math.ceilDiv(rows(x), Tasks.CHUNK_ROWS);
        try (HostTensor partials =
                runtime.memory().allocate("partial sums", DType.FP32, Shape.of(chunks, width), MemoryTag.SCRATCH)) {
            float[] parts = floats(partials); // [chunks, width]
            tasks.forEachChunk(rows(x), (from, to) -> ReferenceRows.sumPartial(floats(x), width, from, to, parts));
            ReferenceRmsNorm.addPartials(parts, chunks, floats(vector));
        }
    }

    @Override
    public void rotateInPlace(StepScope scope, Tensor qkv, AttentionShape shape, float base, boolean inverse) {
        requirePacked("qkv", qkv, shape);
        if (!rotary.serves(shape, base)) {
            rotary = new ReferenceRotary(shape, base);
        }
        ReferenceRotary table = rotary;
        tasks.forEachChunk(rows(qkv), (from, to) -> table.rotate(floats(qkv), shape.heads(), from, to, inverse));
    }

    @Override
    public Saved attention(StepScope scope, Tensor qkv, AttentionShape shape) {
        requirePacked("qkv", qkv, shape);
        Tensor out = scope.allocate("attention", DType.FP32, Shape.of(shape.tokens(), shape.width()));
        Tensor logs = scope.allocate("attention logs", DType.FP32, Shape.of(shape.heads() * shape.tokens()));
        tasks.forEach(
                Math.multiplyExact(shape.batch(), shape.heads()),
                task -> ReferenceAttention.forward(
                        floats(qkv), AttentionHead.of(shape, task), floats(out), floats(logs)));
        return new Saved(out, logs);
    }

    @Override
    public Tensor attentionBackward(
            StepScope scope, Tensor gradOutput, Tensor qkv, Saved forward, AttentionShape shape) {
        requirePacked("qkv", qkv, shape);
        requireMatrix("gradOutput", gradOutput, shape.tokens(), shape.width());
        requireMatrix("output of the forward pass", forward.output(), shape.tokens(), shape.width());
        requireVector("logs of the forward pass", forward.saved(), shape.heads() * shape.tokens());
        Tensor gradQkv = scope.allocate("gradient of qkv", DType.FP32, qkv.shape());
        float[] out = floats(forward.output()); // [tokens, width]
        float[] logs = floats(forward.saved()); // [batch, heads, sequence]
        tasks.forEach(
                Math.multiplyExact(shape.batch(), shape.heads()),
                task -> ReferenceAttention.backward(
                        floats(gradOutput), floats(qkv), out, logs, AttentionHead.of(shape, task), floats(gradQkv)));
        return gradQkv;
    }

    @Override
    public Tensor cachedAttention(StepScope scope, Tensor qkv, Tensor places, Tensor cache, KeyValueShape shape) {
        int rows = OperandChecks.rowsOfCache(qkv, places, cache, shape);
        int[] at = ints(places); // [batch · rows]
        requireBelow("places", at, shape.capacity());
        if (!cached.shape().equals(shape)) {
            cached = new ReferenceCachedAttention(shape);
        }
        ReferenceCachedAttention attention = cached;
        Tensor out = scope.allocate(
                "cached attention", DType.FP32, Shape.of(at.length, qkv.shape().cols() / 3));
        float[] packed = floats(qkv); // [batch · rows, 3 · width]
        float[] kept = floats(cache);
        float[] y = floats(out); // [batch · rows, width]
        tasks.forEachChunk(at.length, (from, to) -> {
            for (int row = from; row < to; row++) {
                attention.put(packed, row, row / rows, at[row], kept);
            }
        });
        tasks.forEach(Math.multiplyExact(at.length, shape.heads()), task -> {
            int row = task / shape.heads();
            attention.attend(functions, packed, row, task % shape.heads(), row / rows, at[row], kept, y);
        });
        return out;
    }

    @Override
    public Tensor swiGlu(StepScope scope, Tensor gateUp) {
        int hidden = OperandChecks.hiddenOf(gateUp);
        Tensor h = scope.allocate("swiGlu", DType.FP32, Shape.of(gateUp.shape().rows(), hidden));
        tasks.forEachChunk(
                rows(gateUp),
                (from, to) -> ReferenceSwiGlu.forward(functions, floats(gateUp), hidden, from, to, floats(h)));
        return h;
    }

    @Override
    public Tensor swiGluBackward(StepScope scope, Tensor gradOutput, Tensor gateUp) {
        int hidden = OperandChecks.hiddenOf(gateUp);
        requireMatrix("gradOutput", gradOutput, gateUp.shape().rows(), hidden);
        Tensor gradGateUp = scope.allocate("gradient of gateUp", DType.FP32, gateUp.shape());
        tasks.forEachChunk(
                rows(gateUp),
                (from, to) -> ReferenceSwiGlu.backward(
                        functions, floats(gradOutput), floats(gateUp), hidden, from, to, floats(gradGateUp)));
        return gradGateUp;
    }

    @Override
    public Tensor relu(StepScope scope, Tensor x) {
        float[] values = floats(x); // [elements]
        Tensor y = scope.allocate("relu", DType.FP32, x.shape());
        tasks.forEachChunk(
                values.length, CHUNK_ELEMENTS, (from, to) -> ReferenceRelu.forward(values, from, to, floats(y)));
        return y;
    }

    @Override
    public Tensor reluBackward(StepScope scope, Tensor gradOutput, Tensor y) {
        requireMatrix("gradOutput", gradOutput, y.shape().rows(), y.shape().cols());
        float[] dy = floats(gradOutput); // [elements]
        Tensor gradX = scope.allocate("gradient of relu", DType.FP32, y.shape());
        tasks.forEachChunk(
                dy.length,
                CHUNK_ELEMENTS,
                (from, to) -> ReferenceRelu.backward(dy, floats(y), from, to, floats(gradX)));
        return gradX;
    }

    @Override
    public Tensor gelu(StepScope scope, Tensor x, Gelu form) {
        float[] values = floats(x); // [elements]
        Tensor y = scope.allocate("gelu", DType.FP32, x.shape());
        tasks.forEachChunk(
                values.length,
                CHUNK_ELEMENTS,
                (from, to) -> ReferenceGelu.forward(functions, form, values, from, to, floats(y)));
        return y;
    }

    @Override
    public Tensor geluBackward(StepScope scope, Tensor gradOutput, Tensor x, Gelu form) {
        requireMatrix("gradOutput", gradOutput, x.shape().rows(), x.shape().cols());
        float[] dy = floats(gradOutput); // [elements]
        Tensor gradX = scope.allocate("gradient of gelu", DType.FP32, x.shape());
        tasks.forEachChunk(
                dy.length,
                CHUNK_ELEMENTS,
                (from, to) -> ReferenceGelu.backward(functions, form, dy, floats(x), from, to, floats(gradX)));
        return gradX;
    }

    @Override
    public Tensor meanRows(StepScope scope, Tensor x, int group) {
        int groups = OperandChecks.groupsOf(x, group);
        int width = cols(x);
        Tensor y = scope.allocate("meanRows", DType.FP32, Shape.of(groups, width));
        tasks.forEachChunk(
                groups,
                CHUNK_GROUPS,
                (from, to) -> ReferenceMeanRows.forward(floats(x), group, width, from, to, floats(y)));
        return y;
    }

    @Override
    public Tensor meanRowsBackward(StepScope scope, Tensor gradOutput, int group) {
        OperandChecks.requirePositive("group", group);
        int groups = rows(gradOutput);
        int width = cols(gradOutput);
        Tensor gradX =
                scope.allocate("gradient of meanRows", DType.FP32, Shape.of(Math.multiplyExact(groups, group), width));
        tasks.forEachChunk(
                groups,
                CHUNK_GROUPS,
                (from, to) -> ReferenceMeanRows.backward(floats(gradOutput), group, width, from, to, floats(gradX)));
        return gradX;
    }

    @Override
    public void crossEntropy(
            StepScope scope, Tensor logits, Tensor targets, int first, Tensor loss, float weight, boolean gradient) {
        int rows = rows(logits);
        int vocabulary = cols(logits);
        int tokens = OperandChecks.requirePart("targets", targets, first, rows);
        requireVector("loss", loss, 1);
        requireBelow("targets", ints(targets), vocabulary);
        double[] partials = new double[Math.ceilDiv(rows, Tasks.CHUNK_ROWS)]; // [chunks]
        float factor = weight / tokens;
        tasks.forEachChunk(
                rows,
                (from, to) -> partials[from / Tasks.CHUNK_ROWS] = ReferenceCrossEntropy.rows(
                        functions, floats(logits), ints(targets), first, vocabulary, from, to, factor, gradient));
        floats(loss)[0] += ReferenceCrossEntropy.mean(partials, tokens, weight);
    }

    @Override
    public void countCorrect(StepScope scope, Tensor logits, Tensor targets, Tensor count) {
        int rows = rows(logits);
        int classes = cols(logits);
        requireVector("targets", targets, rows);
        requireVector("count", count, 1);
        requireBelow("targets", ints(targets), classes);
        int[] partials = new int[Math.ceilDiv(rows, Tasks.CHUNK_ROWS)]; // [chunks]
        tasks.forEachChunk(
                rows,
                (from, to) -> partials[from / Tasks.CHUNK_ROWS] =
                        ReferenceCountCorrect.rows(floats(logits), ints(targets), classes, from, to));
        floats(count)[0] += Arrays.stream(partials).sum();
    }

    @Override
    public void copyBlock(StepScope scope, Tensor source, Tensor target, BlockCopy copy) {
        OperandChecks.requireBlock("source", source, copy.fromRow(), copy.fromCol(), copy.rows(), copy.cols());
        OperandChecks.requireBlock("target", target, copy.toRow(), copy.toCol(), copy.targetRows(), copy.targetCols());
        float[] x = floats(source); // [rows, cols]
        float[] y = floats(target); // [rows, cols]
        tasks.forEachChunk(
                copy.rows(), (from, to) -> ReferenceBlockCopy.copy(x, cols(source), y, cols(target), copy, from, to));
    }

    @Override
    public Tensor softmax(StepScope scope, Tensor scores, float scale, boolean causal) {
        int keys = OperandChecks.keysOf("scores", scores, scale, causal);
        Tensor p = scope.allocate("softmax", DType.FP32, scores.shape());
        tasks.forEachChunk(
                rows(scores),
                (from, to) ->
                        ReferenceSoftmax.forward(functions, floats(scores), keys, scale, causal, from, to, floats(p)));
        return p;
    }

    @Override
    public Tensor softmaxBackward(StepScope scope, Tensor gradOutput, Tensor p, float scale, boolean causal) {
        int keys = OperandChecks.keysOf("p", p, scale, causal);
        requireMatrix("gradOutput", gradOutput, p.shape().rows(), keys);
        Tensor gradScores = scope.allocate("gradient of softmax", DType.FP32, p.shape());
        tasks.forEachChunk(
                rows(p),
                (from, to) -> ReferenceSoftmax.backward(
                        floats(gradOutput), floats(p), keys, scale, causal, from, to, floats(gradScores)));
        return gradScores;
    }
}
