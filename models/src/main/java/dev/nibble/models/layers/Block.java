package dev.nibble.models.layers;

import dev.nibble.spi.Backend;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.Tensor;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.stream.Stream;

/** A pre-norm block of a transformer: {@code x = x + attention(norm(x)); x = x + mlp(norm(x))}. */
public final class Block implements AutoCloseable {
    private final Backend backend;
    private final Norm attentionNorm;
    private final SelfAttention attention;
    private final Norm mlpNorm;
    private final Mlp mlp;
    private final Deque<Input> inputs = new ArrayDeque<>(); // of forward passes that will be repeated
    private boolean repeats;

    private record Input(Tensor x, int batch) {}

    /** Makes a block that owns its layers. */
    public Block(Backend backend, Norm attentionNorm, SelfAttention attention, Norm mlpNorm, Mlp mlp) {
        this.backend = backend;
        this.attentionNorm = attentionNorm;
        this.attention = attention;
        this.mlpNorm = mlpNorm;
        this.mlp = mlp;
    }

    /**
     * Keeps of a forward pass in training only the residual stream before it, and repeats it before the backward pass, to the same bits
     * (Chen et al. 2016, arXiv:1604.06174).
     */
    void repeatForward() {
        repeats = true;
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
        if (!repeats || !scope.context().keepsContext()) {
            return once(scope, x, batch);
        }
        scope.save(x);
        inputs.push(new Input(x.share(), batch));
        return once(scope.in(StepContext.Mode.ADVANCE), x, batch);
    }

    private Tensor once(StepScope scope, Tensor x, int batch) {
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
        if (repeats) {
            Input input = inputs.pop();
            once(scope.in(StepContext.Mode.RECOMPUTE), input.x(), input.batch()).close();
        }
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
        inputs.forEach(input -> input.x().close());
        inputs.clear();
        attentionNorm.close();
        attention.close();
        mlpNorm.close();
        mlp.close();
    }
}
