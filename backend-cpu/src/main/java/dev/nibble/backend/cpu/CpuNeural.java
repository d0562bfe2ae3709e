package dev.nibble.backend.cpu;

import static dev.nibble.host.HostTensor.floats;
import static dev.nibble.reference.OperandChecks.requireMatrix;
import static dev.nibble.reference.OperandChecks.requirePacked;
import static dev.nibble.reference.OperandChecks.requireVector;

import dev.nibble.host.HostRuntime;
import dev.nibble.reference.AttentionHead;
import dev.nibble.reference.ReferenceNeural;
import dev.nibble.spi.AttentionShape;
import dev.nibble.spi.BlockCopy;
import dev.nibble.spi.NeuralOps;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.function.Consumer;

/** The neural operations on all threads: a kernel for attention, the reference's own loops for the rest. */
final class CpuNeural implements NeuralOps {
    private final HostRuntime runtime;
    private final Workers workers;
    private final ReferenceNeural loops;

    CpuNeural(HostRuntime runtime, Workers workers) {
        this.runtime = runtime;
        this.workers = workers;
        this.loops = new ReferenceNeural(runtime, workers::forEach, new VectorExp());
    }

    @Override
    public void zero(StepScope scope, Tensor tensor) {
        loops.zero(scope, tensor);
    }

    @Override
    public void addInPlace(StepScope scope, Tensor target, Tensor addend) {
        loops.addInPlace(scope, target, addend);
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
        return loops.rmsNorm(scope, x, weight, epsilon);
    }

    @Override
    public Tensor rmsNormBackward(
            StepScope scope, Tensor gradOutput, Tensor x, Tensor inverseRms, Tensor weight, Tensor gradWeight) {
        return loops.rmsNormBackward(scope, gradOutput, x, inverseRms, weight, gradWeight);
    }

    @Override
    public void rotateInPlace(StepScope scope, Tensor qkv, AttentionShape shape, float base, boolean inverse) {
        loops.rotateInPlace(scope, qkv, shape, base, inverse);
    }

    @Override
    public Saved attention(StepScope scope, Tensor qkv, AttentionShape shape) {
        requirePacked("qkv", qkv, shape);
        Tensor out = scope.allocate("attention", DType.FP32, Shape.of(shape.tokens(), shape.width()));
        Tensor logs = scope.allocate("attention logs", DType.FP32, Shape.of(shape.heads() * shape.tokens()));
        float[] packed = floats(qkv); // [tokens, 3 · width]
        forEachHead(shape, kernel -> kernel.forward(packed, floats(out), floats(logs)));
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
        forEachHead(shape, kernel -> kernel.backward(dy, packed, out, logs, floats(gradQkv)));
        return gradQkv;
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
        return loops.swiGlu(scope, gateUp);
    }

    @Override
    public Tensor swiGluBackward(StepScope scope, Tensor gradOutput, Tensor gateUp) {
        return loops.swiGluBackward(scope, gradOutput, gateUp);
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
    public Tensor meanRows(StepScope scope, Tensor x, int group) {
        return loops.meanRows(scope, x, group);
    }

    @Override
    public Tensor meanRowsBackward(StepScope scope, Tensor gradOutput, int group) {
        return loops.meanRowsBackward(scope, gradOutput, group);
    }

    @Override
    public void crossEntropy(
            StepScope scope, Tensor logits, Tensor targets, Tensor loss, float weight, boolean gradient) {
        loops.crossEntropy(scope, logits, targets, loss, weight, gradient);
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
}
