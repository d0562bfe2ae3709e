package dev.nibble.models.layers;

import dev.nibble.spi.Backend;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.Tensor;
import java.util.List;
import java.util.stream.Stream;

/** A pre-norm block of a transformer: {@code x = x + attention(norm(x)); x = x + mlp(norm(x))}. */
public final class Block implements AutoCloseable {
    private final Backend backend;
    private final RmsNorm attentionNorm;
    private final SelfAttention attention;
    private final RmsNorm mlpNorm;
    private final Mlp mlp;

    /** Makes a block that owns its layers. */
    public Block(Backend backend, RmsNorm attentionNorm, SelfAttention attention, RmsNorm mlpNorm, Mlp mlp) {
        this.backend = backend;
        this.attentionNorm = attentionNorm;
        this.attention = attention;
        this.mlpNorm = mlpNorm;
        this.mlp = mlp;
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
        Tensor middle;
        try (x;
                Tensor normed = attentionNorm.forward(scope, x)) {
            middle = attention.forward(scope, normed, batch);
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
        attentionNorm.close();
        attention.close();
        mlpNorm.close();
        mlp.close();
    }
}
