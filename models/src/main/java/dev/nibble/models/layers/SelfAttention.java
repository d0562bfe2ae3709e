package dev.nibble.models.layers;

import dev.nibble.quant.TensorCodec;
import dev.nibble.spi.AttentionShape;
import dev.nibble.spi.Backend;
import dev.nibble.spi.KeyValueShape;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.Tensor;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Optional;

/**
 * Multi-head self-attention: one linear layer makes q, k and v, another mixes the heads. Rotation is
 * FP32; so is attention, unless its products are quantized. The backward pass reads q, k, v and the output as the forward pass
 * made them, or rounded to BF16 if the layer that mixes the heads wants its context packed.
 */
public final class SelfAttention implements AutoCloseable {
    /** Who sees whom, and how positions are known. */
    public enum Kind {
        /** A token sees those up to its own position; q and k are rotated by their positions. */
        DECODER,
        /** A token sees those up to its own position; positions are known from x. */
        CAUSAL,
        /** A token sees its whole sequence; positions are known from x, if at all. */
        ENCODER;

        /** {@return whether a token sees no later one} */
        boolean causal() {
            return this != ENCODER;
        }
    }

    private static final float ROTARY_BASE = 10000f;

    private final Backend backend;
    private final int heads;
    private final Kind kind;
    private final Linear qkv;
    private final Attention attention;
    private final Linear out;
    private final Deque<Saved> saved = new ArrayDeque<>();

    private record Saved(Kept qkv, Kept output, AttentionShape shape) {
        void close() {
            qkv.close();
            output.close();
        }
    }

    /**
     * Makes the layer.
     *
     * @param backend computes
     * @param heads attention heads
     * @param kind who sees whom
     * @param qkv [3 · width, width], owned by this layer
     * @param attention what happens between the linear layers, owned by this layer
     * @param out [width, width], owned by this layer
     */
    SelfAttention(Backend backend, int heads, Kind kind, Linear qkv, Attention attention, Linear out) {
        this.backend = backend;
        this.heads = heads;
        this.kind = kind;
        this.qkv = qkv;
        this.attention = attention;
        this.out = out;
    }

    /** {@return its linear layers, and between them the products of attention that are quantized} */
    public List<QuantizedLayer> linears() {
        List<QuantizedLayer> linears = new ArrayList<>();
        linears.add(qkv.quantized());
        linears.addAll(attention.products());
        linears.add(out.quantized());
        return linears;
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
        AttentionShape shape = new AttentionShape(batch, sequence, heads, headSize, kind.causal());
        Optional<TensorCodec> codec = out.context().map(_ -> TensorCodec.BF16);
        try (Tensor packed = qkv.forward(scope, x)) {
            rotate(scope, packed, shape, false);
            try (Tensor output = attention.forward(scope, packed, shape, codec)) {
                Tensor y = out.forward(scope, output);
                if (scope.context().keepsContext()) {
                    saved.push(new Saved(
                            Kept.of(backend, scope, codec, packed), Kept.of(backend, scope, codec, output), shape));
                }
                return y;
            }
        }
    }

    /** {@return whether there can be a cache of keys and values: where no quantizer plans the products between them} */
    boolean isCacheable() {
        return kind.causal() && attention.products().isEmpty();
    }

    /** {@return sizes of a cache of keys and values for some sequences} */
    KeyValueShape cacheShape(int batch, int capacity) {
        int headSize = Math.toIntExact(out.quantized().layer().in() / heads);
        return new KeyValueShape(batch, capacity, heads, headSize, kind == Kind.DECODER ? ROTARY_BASE : 0);
    }

    /**
     * {@return [batch · rows, width], owned by the caller} Nothing is kept for a backward pass. In FP32, each row has the bits that it has
     * in a whole sequence.
     *
     * @param x [batch · rows, width], tokens that follow those of the cache
     * @param places INT32, [batch · rows], their positions
     * @param cache keys and values of the tokens before; theirs are added
     * @param shape of the cache
     */
    Tensor forward(StepScope scope, Tensor x, Tensor places, Tensor cache, KeyValueShape shape) {
        try (Tensor packed = qkv.forward(scope, x);
                Tensor output = backend.neural().cachedAttention(scope, packed, places, cache, shape)) {
            return out.forward(scope, output);
        }
    }

    /**
     * {@return the gradient of x, owned by the caller}
     *
     * @param again makes x again
     */
    public Tensor backward(StepScope scope, Tensor gradOutput, InputSource again) {
        Saved context = saved.pop();
        Tensor gradPacked;
        try (Tensor gradAttention = out.backward(scope, gradOutput, context.output()::tensor);
                Tensor packed = context.qkv().tensor(scope);
                Tensor output = context.output().tensor(scope)) {
            gradPacked = attention.backward(scope, gradAttention, packed, output, context.shape());
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
        attention.close();
        out.close();
    }
}
