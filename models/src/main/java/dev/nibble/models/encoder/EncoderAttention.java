package dev.nibble.models.encoder;

import dev.nibble.models.layers.BiasedLinear;
import dev.nibble.models.layers.InputSource;
import dev.nibble.models.layers.Kept;
import dev.nibble.quant.TensorCodec;
import dev.nibble.spi.AttentionShape;
import dev.nibble.spi.Backend;
import dev.nibble.spi.BlockCopy;
import dev.nibble.spi.NeuralOps;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Optional;

/**
 * Self-attention within each sequence of a batch: every token sees all tokens of its own sequence, as under a mask that hides padding,
 * but nothing is computed for padding. Between the linear layers it is FP32; rows that belong to no sequence get 0. The backward pass reads q,
 * k, v and the output as the forward pass made them, or rounded to BF16 if the layer that mixes the heads wants its context packed.
 */
final class EncoderAttention implements AutoCloseable {
    private final Backend backend;
    private final int heads;
    private final BiasedLinear qkv;
    private final BiasedLinear out;
    private final Deque<Saved> saved = new ArrayDeque<>();

    private record Saved(Kept qkv, Kept output, List<Tensor> logarithms, int[] lengths) {
        void close() {
            qkv.close();
            output.close();
            logarithms.forEach(Tensor::close);
        }
    }

    /**
     * Makes the layer.
     *
     * @param qkv [3 · width, width], owned by this layer
     * @param out [width, width], owned by this layer
     */
    EncoderAttention(Backend backend, int heads, BiasedLinear qkv, BiasedLinear out) {
        this.backend = backend;
        this.heads = heads;
        this.qkv = qkv;
        this.out = out;
    }

    /** {@return its linear layers} */
    List<BiasedLinear> linears() {
        return List.of(qkv, out);
    }

    /**
     * {@return [rows, width], owned by the caller}
     *
     * @param x [rows, width]; must not be modified before the backward pass
     * @param lengths tokens of each sequence
     */
    Tensor forward(StepScope scope, Tensor x, int[] lengths) {
        int width = (int) x.shape().cols();
        List<Tensor> logarithms = new ArrayList<>();
        try (Tensor packed = qkv.forward(scope, x);
                Tensor mixed = zeros(scope, "attention", x.shape())) {
            int first = 0;
            for (int length : lengths) {
                try (Tensor own = cut(scope, packed, first, length)) {
                    NeuralOps.Saved result = backend.neural().attention(scope, own, shape(length, width));
                    paste(scope, result.output(), mixed, first);
                    result.output().close();
                    logarithms.add(result.saved());
                }
                first += length;
            }
            Tensor y = out.forward(scope, mixed);
            if (scope.context().keepsContext()) {
                Optional<TensorCodec> codec = out.context().map(_ -> TensorCodec.BF16);
                logarithms.forEach(scope::save);
                saved.push(new Saved(
                        Kept.of(backend, scope, codec, packed),
                        Kept.of(backend, scope, codec, mixed),
                        logarithms,
                        lengths));
            } else {
                logarithms.forEach(Tensor::close);
            }
            return y;
        }
    }

    /**
     * {@return the gradient of x, owned by the caller}
     *
     * @param again makes x again
     */
    Tensor backward(StepScope scope, Tensor gradOutput, InputSource again) {
        Saved context = saved.pop();
        Tensor gradPacked;
        try (Tensor gradMixed = out.backward(scope, gradOutput, context.output()::tensor);
                Tensor packed = context.qkv().tensor(scope);
                Tensor output = context.output().tensor(scope)) {
            gradPacked = zeros(scope, "gradient of qkv", packed.shape());
            int first = 0;
            for (int i = 0; i < context.lengths().length; i++) {
                int length = context.lengths()[i];
                try (Tensor logarithms = context.logarithms().get(i).share();
                        Tensor own = cut(scope, packed, first, length);
                        Tensor mixed = cut(scope, output, first, length);
                        Tensor gradient = cut(scope, gradMixed, first, length);
                        Tensor gradOwn = one(scope, own, new NeuralOps.Saved(mixed, logarithms), gradient)) {
                    paste(scope, gradOwn, gradPacked, first);
                }
                first += length;
            }
        }
        context.close();
        try (gradPacked) {
            return qkv.backward(scope, gradPacked, again);
        }
    }

    /** {@return the gradient of q, k and v of one sequence} */
    private Tensor one(StepScope scope, Tensor own, NeuralOps.Saved result, Tensor gradient) {
        AttentionShape shape =
                shape((int) gradient.shape().rows(), (int) gradient.shape().cols());
        return backend.neural().attentionBackward(scope, gradient, own, result, shape);
    }

    private AttentionShape shape(int length, int width) {
        return new AttentionShape(1, length, heads, width / heads, false);
    }

    private Tensor zeros(StepScope scope, String label, Shape shape) {
        Tensor zeros = scope.allocate(label, DType.FP32, shape);
        backend.neural().zero(scope, zeros);
        return zeros;
    }

    /** {@return some rows of a matrix, a copy} */
    private Tensor cut(StepScope scope, Tensor x, int first, int rows) {
        int cols = (int) x.shape().cols();
        Tensor own = scope.allocate("rows of a sequence", DType.FP32, Shape.of(rows, cols));
        backend.neural().copyBlock(scope, x, own, BlockCopy.cut(rows, cols, first, 0));
        return own;
    }

    private void paste(StepScope scope, Tensor rows, Tensor target, int first) {
        BlockCopy whole =
                BlockCopy.whole((int) rows.shape().rows(), (int) rows.shape().cols());
        backend.neural().copyBlock(scope, rows, target, whole.to(first, 0));
    }

    @Override
    public void close() {
        saved.forEach(Saved::close);
        saved.clear();
        qkv.close();
        out.close();
    }
}
