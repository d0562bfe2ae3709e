package dev.nibble.backend.cpu;

import static dev.nibble.host.HostTensor.floats;
import static dev.nibble.reference.OperandChecks.requireMatrix;
import static dev.nibble.reference.OperandChecks.requirePacked;
import static dev.nibble.reference.OperandChecks.requireVector;

import dev.nibble.host.HostRuntime;
import dev.nibble.host.HostTensor;
import dev.nibble.reference.AttentionHead;
import dev.nibble.reference.OperandChecks;
import dev.nibble.reference.ReferenceNeural;
import dev.nibble.reference.ReferenceRmsNorm;
import dev.nibble.reference.ReferenceRotary;
import dev.nibble.reference.Tasks;
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
import java.util.Optional;
import java.util.function.Consumer;

/** The neural operations on all threads: kernels for attention, rotation, RMSNorm and SwiGLU, the reference's own loops for the rest. */
final class CpuNeural implements NeuralOps, AutoCloseable {
    /** Elements, 1 MiB: a gradient of that size has left the caches before it is added to, so zeros had better not be written. */
    private static final int ZEROED_LATER = 1 << 18;

    private final HostRuntime runtime;
    private final Workers workers;
    private final Optional<NativeKernels> kernels;
    private final Optional<NativeAttention> attention;
    private final ReferenceNeural loops;
    private Optional<ReferenceRotary> rotary = Optional.empty(); // the table of the last shape

    CpuNeural(HostRuntime runtime, Workers workers) {
        this(runtime, workers, Optional.empty());
    }

    /**
     * Makes the operations.
     *
     * @param kernels of the native library; none for the portable path
     */
    CpuNeural(HostRuntime runtime, Workers workers, Optional<NativeKernels> kernels) {
        this.runtime = runtime;
        this.workers = workers;
        this.kernels = kernels.filter(known -> known.level() != NativeKernels.Level.AVX2);
        this.attention = this.kernels.map(known -> new NativeAttention(known, runtime.memory(), workers));
        this.loops = new ReferenceNeural(runtime, workers::forEach, new VectorExp());
    }

    @Override
    public void zero(StepScope scope, Tensor tensor) {
        if (kernels.isEmpty() || tensor.shape().elements() < ZEROED_LATER) {
            loops.zero(scope, tensor);
        } else {
            HostTensor.of(tensor).zeroLater();
        }
    }

    @Override
    public void addInPlace(StepScope scope, Tensor target, Tensor addend) {
        if (!target.shape().equals(addend.shape())) {
            loops.addInPlace(scope, target, addend); // which says what is wrong
            return;
        }
        Optional<float[]> zeros = HostTensor.of(target).takeZeros();
        if (zeros.isEmpty()) {
            loops.addInPlace(scope, target, addend);
            return;
        }
        float[] y = zeros.get(); // [elements]
        float[] x = floats(addend); // [elements]
        Tasks tasks = workers::forEach;
        tasks.forEachChunk(y.length, ZEROED_LATER, (from, to) -> {
            for (int i = from; i < to; i++) {
                y[i] = 0f + x[i]; // -0 becomes +0
            }
        });
    }

    @Override
    public Tensor embedding(StepScope scope, Tensor ids, Tensor table) {
        return loops.embedding(scope, ids, table);
    }

    @Override
    public void embeddingBackward(StepScope scope, Tensor ids, Tensor gradOutput, Tensor gradTable) {
        loops.embeddingBackward(scope, ids, gradOutput, gradTable);
    }

    @Override
    public Saved rmsNorm(StepScope scope, Tensor x, Tensor weight, float epsilon) {
        requireVector("weight", weight, x.shape().cols());
        int rows = OperandChecks.rows(x);
        Tensor y = scope.allocate("rmsNorm", DType.FP32, x.shape());
        Tensor r = scope.allocate("inverseRms", DType.FP32, Shape.of(rows));
        float[] values = floats(x); // [rows, width]
        float[] w = floats(weight); // [width]
        forEachChunk(rows, (from, to) -> RmsNormLanes.forward(values, w, epsilon, from, to, floats(y), floats(r)));
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
        int rows = OperandChecks.rows(x);
        int width = OperandChecks.cols(x);
        int chunks = Math.ceilDiv(rows, Tasks.CHUNK_ROWS);
        try (HostTensor partials = runtime.memory()
                .allocate("partial gradWeight", DType.FP32, Shape.of(chunks, width), MemoryTag.SCRATCH)) {
            float[] parts = floats(partials); // [chunks, width]
            float[] dy = floats(gradOutput); // [rows, width]
            float[] values = floats(x); // [rows, width]
            float[] r = floats(inverseRms); // [rows]
            float[] w = floats(weight); // [width]
            forEachChunk(rows, (from, to) -> {
                RmsNormLanes.gradX(dy, values, r, w, from, to, floats(gradX));
                RmsNormLanes.gradWeightPartial(dy, values, r, width, from, to, parts);
            });
            ReferenceRmsNorm.addPartials(parts, chunks, floats(gradWeight));
        }
        return gradX;
    }

    @Override
    public Tensor centerRows(StepScope scope, Tensor x) {
        return loops.centerRows(scope, x);
    }

    @Override
    public void addRowInPlace(StepScope scope, Tensor target, Tensor vector) {
        loops.addRowInPlace(scope, target, vector);
    }

    @Override
    public void sumRows(StepScope scope, Tensor x, Tensor vector) {
        loops.sumRows(scope, x, vector);
    }

    @Override
    public void rotateInPlace(StepScope scope, Tensor qkv, AttentionShape shape, float base, boolean inverse) {
        requirePacked("qkv", qkv, shape);
        if (rotary.isEmpty() || !rotary.get().serves(shape, base)) {
            rotary = Optional.of(new ReferenceRotary(shape, base));
        }
        ReferenceRotary table = rotary.get();
        float[] packed = floats(qkv); // [tokens, 3 · width]
        forEachChunk(
                OperandChecks.rows(qkv), (from, to) -> RotaryLanes.rotate(table, shape, packed, from, to, inverse));
    }

    @Override
    public Saved attention(StepScope scope, Tensor qkv, AttentionShape shape) {
        requirePacked("qkv", qkv, shape);
        Tensor out = scope.allocate("attention", DType.FP32, Shape.of(shape.tokens(), shape.width()));
        Tensor logs = scope.allocate("attention logs", DType.FP32, Shape.of(shape.heads() * shape.tokens()));
        float[] packed = floats(qkv); // [tokens, 3 · width]
        attention.ifPresentOrElse(
                library -> library.forward(shape, packed, floats(out), floats(logs)),
                () -> forEachHead(shape, kernel -> kernel.forward(packed, floats(out), floats(logs))));
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
        float[] dy = floats(gradOutput); // [tokens, width]
        float[] packed = floats(qkv); // [tokens, 3 · width]
        float[] out = floats(forward.output()); // [tokens, width]
        float[] logs = floats(forward.saved()); // [batch, heads, sequence]
        attention.ifPresentOrElse(
                library -> library.backward(shape, dy, packed, out, logs, floats(gradQkv)),
                () -> forEachHead(shape, kernel -> kernel.backward(dy, packed, out, logs, floats(gradQkv))));
        return gradQkv;
    }

    @Override
    public Tensor cachedAttention(StepScope scope, Tensor qkv, Tensor places, Tensor cache, KeyValueShape shape) {
        return loops.cachedAttention(scope, qkv, places, cache, shape);
    }

    /** Passes over chunks of 64 rows: sums that cross rows are made for each. */
    private void forEachChunk(int rows, Tasks.Rows body) {
        Tasks tasks = workers::forEach;
        tasks.forEachChunk(rows, body);
    }

    private void forEachHead(AttentionShape shape, Consumer<AttentionKernel> work) {
        HeadLayout layout = HeadLayout.of(shape.sequence(), shape.headSize());
        int heads = Math.multiplyExact(shape.batch(), shape.heads());
        try (ThreadScratch scratch =
                new ThreadScratch(runtime.memory(), Math.min(workers.threads(), heads), layout.length())) {
            workers.forEach(
                    heads,
                    task -> scratch.lend(
                            m -> work.accept(new AttentionKernel(AttentionHead.of(shape, task), layout, m))));
        }
    }

    @Override
    public Tensor swiGlu(StepScope scope, Tensor gateUp) {
        int hidden = OperandChecks.hiddenOf(gateUp);
        int rows = OperandChecks.rows(gateUp);
        Tensor h = scope.allocate("swiGlu", DType.FP32, Shape.of(rows, hidden));
        float[] x = floats(gateUp); // [rows, 2 · hidden]
        float[] y = floats(h); // [rows, hidden]
        forEachChunk(
                rows,
                kernels.<Tasks.Rows>map(
                                library -> (from, to) -> library.neural().swiGlu(x, hidden, from, to, y))
                        .orElse((from, to) -> SwiGluLanes.forward(x, hidden, from, to, y)));
        return h;
    }

    @Override
    public Tensor swiGluBackward(StepScope scope, Tensor gradOutput, Tensor gateUp) {
        int hidden = OperandChecks.hiddenOf(gateUp);
        int rows = OperandChecks.rows(gateUp);
        requireMatrix("gradOutput", gradOutput, rows, hidden);
        Tensor gradGateUp = scope.allocate("gradient of gateUp", DType.FP32, gateUp.shape());
        float[] dy = floats(gradOutput); // [rows, hidden]
        float[] x = floats(gateUp); // [rows, 2 · hidden]
        float[] dx = floats(gradGateUp); // [rows, 2 · hidden]
        forEachChunk(
                rows,
                kernels.<Tasks.Rows>map(
                                library -> (from, to) -> library.neural().swiGluBackward(dy, x, hidden, from, to, dx))
                        .orElse((from, to) -> SwiGluLanes.backward(dy, x, hidden, from, to, dx)));
        return gradGateUp;
    }

    @Override
    public Tensor relu(StepScope scope, Tensor x) {
        return loops.relu(scope, x);
    }

    @Override
    public Tensor reluBackward(StepScope scope, Tensor gradOutput, Tensor y) {
        return loops.reluBackward(scope, gradOutput, y);
    }

    @Override
    public Tensor gelu(StepScope scope, Tensor x, Gelu form) {
        return loops.gelu(scope, x, form);
    }

    @Override
    public Tensor geluBackward(StepScope scope, Tensor gradOutput, Tensor x, Gelu form) {
        return loops.geluBackward(scope, gradOutput, x, form);
    }

    @Override
    public Tensor meanRows(StepScope scope, Tensor x, int group) {
        return loops.meanRows(scope, x, group);
    }

    @Override
    public Tensor meanRowsBackward(StepScope scope, Tensor gradOutput, int group) {
        return loops.meanRowsBackward(scope, gradOutput, group);
    }

    @Override
    public void crossEntropy(
            StepScope scope, Tensor logits, Tensor targets, int first, Tensor loss, float weight, boolean gradient) {
        loops.crossEntropy(scope, logits, targets, first, loss, weight, gradient);
    }

    @Override
    public void countCorrect(StepScope scope, Tensor logits, Tensor targets, Tensor count) {
        loops.countCorrect(scope, logits, targets, count);
    }

    @Override
    public void copyBlock(StepScope scope, Tensor source, Tensor target, BlockCopy copy) {
        loops.copyBlock(scope, source, target, copy);
    }

    @Override
    public Tensor softmax(StepScope scope, Tensor scores, float scale, boolean causal) {
        return loops.softmax(scope, scores, scale, causal);
    }

    @Override
    public Tensor softmaxBackward(StepScope scope, Tensor gradOutput, Tensor p, float scale, boolean causal) {
        return loops.softmaxBackward(scope, gradOutput, p, scale, causal);
    }

    @Override
    public void close() {
        attention.ifPresent(NativeAttention::close);
    }
}
