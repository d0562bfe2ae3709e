package dev.nibble.models.memory;

import dev.nibble.spi.AttentionShape;
import dev.nibble.spi.BlockCopy;
import dev.nibble.spi.Gelu;
import dev.nibble.spi.KeyValueShape;
import dev.nibble.spi.NeuralOps;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;

/** The shapes of results. */
final class ShapeNeural implements NeuralOps {
    private static Tensor result(StepScope scope, String label, long... dims) {
        return scope.allocate(label, DType.FP32, Shape.of(dims));
    }

    private static Tensor like(StepScope scope, String label, Tensor x) {
        return scope.allocate(label, DType.FP32, x.shape());
    }

    @Override
    public void zero(StepScope scope, Tensor tensor) {}

    @Override
    public void addInPlace(StepScope scope, Tensor target, Tensor addend) {}

    @Override
    public Tensor embedding(StepScope scope, Tensor ids, Tensor table) {
        return result(scope, "embedding", ids.shape().elements(), table.shape().cols());
    }

    @Override
    public void embeddingBackward(StepScope scope, Tensor ids, Tensor gradOutput, Tensor gradTable) {}

    @Override
    public Saved rmsNorm(StepScope scope, Tensor x, Tensor weight, float epsilon) {
        return new Saved(
                like(scope, "normed", x), result(scope, "1 / rms", x.shape().rows()));
    }

    @Override
    public Tensor rmsNormBackward(
            StepScope scope, Tensor gradOutput, Tensor x, Tensor inverseRms, Tensor weight, Tensor gradWeight) {
        return like(scope, "gradient of norm", x);
    }

    @Override
    public Tensor centerRows(StepScope scope, Tensor x) {
        return like(scope, "centered", x);
    }

    @Override
    public void addRowInPlace(StepScope scope, Tensor target, Tensor vector) {}

    @Override
    public void sumRows(StepScope scope, Tensor x, Tensor vector) {}

    @Override
    public void rotateInPlace(StepScope scope, Tensor qkv, AttentionShape shape, float base, boolean inverse) {}

    @Override
    public Saved attention(StepScope scope, Tensor qkv, AttentionShape shape) {
        return new Saved(
                result(scope, "attention", shape.tokens(), shape.width()),
                result(scope, "logarithms", shape.heads() * shape.tokens()));
    }

    @Override
    public Tensor attentionBackward(
            StepScope scope, Tensor gradOutput, Tensor qkv, Saved forward, AttentionShape shape) {
        return like(scope, "gradient of qkv", qkv);
    }

    @Override
    public Tensor cachedAttention(StepScope scope, Tensor qkv, Tensor places, Tensor cache, KeyValueShape shape) {
        return result(scope, "cached attention", qkv.shape().rows(), qkv.shape().cols() / 3);
    }

    @Override
    public Tensor swiGlu(StepScope scope, Tensor gateUp) {
        return result(scope, "swiGlu", gateUp.shape().rows(), gateUp.shape().cols() / 2);
    }

    @Override
    public Tensor swiGluBackward(StepScope scope, Tensor gradOutput, Tensor gateUp) {
        return like(scope, "gradient of gate and up", gateUp);
    }

    @Override
    public Tensor relu(StepScope scope, Tensor x) {
        return like(scope, "relu", x);
    }

    @Override
    public Tensor reluBackward(StepScope scope, Tensor gradOutput, Tensor y) {
        return like(scope, "gradient of relu", y);
    }

    @Override
    public Tensor gelu(StepScope scope, Tensor x, Gelu form) {
        return like(scope, "gelu", x);
    }

    @Override
    public Tensor geluBackward(StepScope scope, Tensor gradOutput, Tensor x, Gelu form) {
        return like(scope, "gradient of gelu", x);
    }

    @Override
    public Tensor meanRows(StepScope scope, Tensor x, int group) {
        return result(scope, "means", x.shape().rows() / group, x.shape().cols());
    }

    @Override
    public Tensor meanRowsBackward(StepScope scope, Tensor gradOutput, int group) {
        return result(
                scope,
                "gradient of means",
                gradOutput.shape().rows() * group,
                gradOutput.shape().cols());
    }

    @Override
    public void crossEntropy(
            StepScope scope, Tensor logits, Tensor targets, int first, Tensor loss, float weight, boolean gradient) {}

    @Override
    public void countCorrect(StepScope scope, Tensor logits, Tensor targets, Tensor count) {}

    @Override
    public void copyBlock(StepScope scope, Tensor source, Tensor target, BlockCopy copy) {}

    @Override
    public Tensor softmax(StepScope scope, Tensor scores, float scale, boolean causal) {
        return like(scope, "softmax", scores);
    }

    @Override
    public Tensor softmaxBackward(StepScope scope, Tensor gradOutput, Tensor p, float scale, boolean causal) {
        return like(scope, "gradient of scores", p);
    }
}
