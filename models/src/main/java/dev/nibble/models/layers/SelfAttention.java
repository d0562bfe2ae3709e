package dev.nibble.models.layers;

import dev.nibble.spi.AttentionShape;
import dev.nibble.spi.Backend;
import dev.nibble.spi.NeuralOps;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.Tensor;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;

/**
 * Multi-head self-attention: one linear layer makes q, k and v, another mixes the heads. Rotation and attention are
 * FP32, as are q, k, v and the output that the backward pass needs.
 */
public final class SelfAttention implements AutoCloseable {
    /** Who sees whom, and how positions are known. */
    public enum Kind {
        /** A token sees those up to its own position; q and k are rotated by their positions. */
        DECODER,
        /** A token sees its whole sequence; positions are known from x, if at all. */
        ENCODER
    }

    private static final float ROTARY_BASE = 10000f;

    private final Backend backend;
    private final int heads;
    private final Kind kind;
    private final QuantizedLinear qkv;
    private final QuantizedLinear out;
    private final Deque<Saved> saved = new ArrayDeque<>();

    private record Saved(Tensor qkv, NeuralOps.Saved forward, AttentionShape shape) {
        void close() {
            qkv.close();
            forward.output().close();
            forward.saved().close();
        }
    }

    /**
     * Makes the layer.
     *
     * @param backend computes
     * @param heads attention heads
     * @param kind who sees whom
     * @param qkv [3 · width, width], owned by this layer
     * @param out [width, width], owned by this layer
     */
    public SelfAttention(Backend backend, int heads, Kind kind, QuantizedLinear qkv, QuantizedLinear out) {
        this.backend = backend;
        this.heads = heads;
        this.kind = kind;
        this.qkv = qkv;
        this.out = out;
    }

    /** {@return its linear layers} */
    public List<QuantizedLinear> linears() {
        return List.of(qkv, out);
    }

    /**
     * {@return [tokens, width], owned by the caller}
     *
     * @param x [tokens, width]; must not be modified before the backward pass
     * @param batch sequences in x
     */
    public Tensor forward(StepScope scope, Tensor x, int batch) {
        long width = x.shape().cols();
        int sequence = Math.toIntExact(x.shape().rows() / batch);
        int headSize = Math.toIntExact(width / heads);
        AttentionShape shape = new AttentionShape(batch, sequence, heads, headSize, kind == Kind.DECODER);
        Tensor packed = qkv.forward(scope, x);
        rotate(scope, packed, shape, false);
        Saved context = new Saved(packed, backend.neural().attention(scope, packed, shape), shape);
        Tensor y = out.forward(scope, context.forward().output());
        if (scope.context().keepsContext()) {
            scope.save(packed);
            scope.save(context.forward().output());
            scope.save(context.forward().saved());
            saved.push(context);
        } else {
            context.close();
        }
        return y;
    }

    /**
     * {@return the gradient of x, owned by the caller}
     *
     * @param again makes x again
     */
    public Tensor backward(StepScope scope, Tensor gradOutput, InputSource again) {
        Saved context = saved.pop();
        Tensor gradPacked;
        try (Tensor gradAttention =
                out.backward(scope, gradOutput, _ -> context.forward().output().share())) {
            gradPacked = backend.neural()
                    .attentionBackward(scope, gradAttention, context.qkv(), context.forward(), context.shape());
        }
        context.close();
        try (gradPacked) {
            rotate(scope, gradPacked, context.shape(), true);
            return qkv.backward(scope, gradPacked, again);
        }
    }

    private void rotate(StepScope scope, Tensor packed, AttentionShape shape, boolean inverse) {
        if (kind == Kind.DECODER) {
            backend.neural().rotateInPlace(scope, packed, shape, ROTARY_BASE, inverse);
        }
    }

    @Override
    public void close() {
        saved.forEach(Saved::close);
        saved.clear();
        qkv.close();
        out.close();
    }
}
