package dev.nibble.models.layers;

import dev.nibble.spi.Backend;
import dev.nibble.spi.KeyValueShape;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.Tensor;
import java.util.List;
import java.util.function.UnaryOperator;
import java.util.stream.Stream;

/** A pre-norm block of a transformer: {@code x = x + attention(norm(x)); x = x + mlp(norm(x))}. */
public final class Block implements AutoCloseable {
    private final Backend backend;
    private final Norm attentionNorm;
    private final SelfAttention attention;
    private final Norm mlpNorm;
    private final Mlp mlp;
    private final Repetition repetition = new Repetition();

    /** Makes a block that owns its layers. */
    public Block(Backend backend, Norm attentionNorm, SelfAttention attention, Norm mlpNorm, Mlp mlp) {
        this.backend = backend;
        this.attentionNorm = attentionNorm;
        this.attention = attention;
        this.mlpNorm = mlpNorm;
        this.mlp = mlp;
    }

    /** Keeps of a forward pass in training only the residual stream before it, and repeats it before the backward pass. */
    void repeatForward() {
        repetition.begin();
    }

    /** {@return its linear layers and quantized products, in the order of the forward pass} */
    public List<QuantizedLayer> linears() {
        return Stream.concat(attention.linears().stream(), mlp.linears().stream())
                .toList();
    }

    /**
     * {@return the residual stream after the block, owned by the caller}
     *
     * @param x the residual stream, [tokens, width]; closed
     * @param batch sequences in x
     */
    public Tensor forward(StepScope scope, Tensor x, int batch) {
        return repetition.forward(
                scope, x, (pass, input) -> once(pass, input, normed -> attention.forward(pass, normed, batch)));
    }

    /** {@return whether there can be a cache of keys and values} */
    boolean isCacheable() {
        return attention.isCacheable();
    }

    /** {@return sizes of a cache for {@link #forward(StepScope, Tensor, Tensor, Tensor, KeyValueShape)}} */
    KeyValueShape cacheShape(int batch, int capacity) {
        return attention.cacheShape(batch, capacity);
    }

    /**
     * {@return the residual stream after the block of tokens that follow those of a cache, owned by the caller}
     *
     * @param x the residual stream, [batch · rows, width]; closed
     * @param places INT32, [batch · rows]
     * @param cache what attention has seen; the tokens are added
     * @param shape of the cache
     */
    Tensor forward(StepScope scope, Tensor x, Tensor places, Tensor cache, KeyValueShape shape) {
        return once(scope, x, normed -> attention.forward(scope, normed, places, cache, shape));
    }

    private Tensor once(StepScope scope, Tensor x, UnaryOperator<Tensor> attend) {
        Tensor middle;
        try (x;
                Tensor normed = attentionNorm.forward(scope, x)) {
            middle = attend.apply(normed);
            // into the branch, not into x: the norm's backward pass reads x
            backend.neural().addInPlace(scope, middle, x);
        }
        try (middle;
                Tensor normed = mlpNorm.forward(scope, middle)) {
            Tensor y = mlp.forward(scope, normed);
            backend.neural().addInPlace(scope, y, middle);
            return y;
        }
    }

    /**
     * Turns the gradient of the block's output into that of its input, in place.
     *
     * @param gradient [tokens, width]
     */
    public void backward(StepScope scope, Tensor gradient) {
        repetition.beforeBackward(scope);
        try (Tensor gradNormed = mlp.backward(scope, gradient, mlpNorm::recompute);
                Tensor branch = mlpNorm.backward(scope, gradNormed)) {
            backend.neural().addInPlace(scope, gradient, branch);
        }
        try (Tensor gradNormed = attention.backward(scope, gradient, attentionNorm::recompute);
                Tensor branch = attentionNorm.backward(scope, gradNormed)) {
            backend.neural().addInPlace(scope, gradient, branch);
        }
    }

    @Override
    public void close() {
        repetition.close();
        attentionNorm.close();
        attention.close();
        mlpNorm.close();
        mlp.close();
    }
}
