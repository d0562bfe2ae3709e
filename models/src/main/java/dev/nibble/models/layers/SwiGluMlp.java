package dev.nibble.models.layers;

import dev.nibble.spi.Backend;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.Tensor;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;

/**
 * A gated feed-forward layer (Shazeer 2020, arXiv:2002.05202): one linear layer makes gate and up, and another maps
 * {@code gate · sigmoid(gate) · up} back. Gate and up are kept in FP32.
 */
public final class SwiGluMlp implements AutoCloseable {
    private final Backend backend;
    private final QuantizedLinear gateUp;
    private final QuantizedLinear down;
    private final Deque<Tensor> saved = new ArrayDeque<>();

    /**
     * Makes the layer.
     *
     * @param backend computes
     * @param gateUp [2 · hidden, width], owned by this layer
     * @param down [width, hidden], owned by this layer
     */
    public SwiGluMlp(Backend backend, QuantizedLinear gateUp, QuantizedLinear down) {
        this.backend = backend;
        this.gateUp = gateUp;
        this.down = down;
    }

    /** {@return its linear layers} */
    public List<QuantizedLinear> linears() {
        return List.of(gateUp, down);
    }

    /**
     * {@return [tokens, width], owned by the caller}
     *
     * @param x [tokens, width]; must not be modified before the backward pass
     */
    public Tensor forward(StepScope scope, Tensor x) {
        Tensor both = gateUp.forward(scope, x);
        try (Tensor hidden = backend.neural().swiGlu(scope, both)) {
            if (scope.context().keepsContext()) {
                scope.save(both);
                saved.push(both);
            } else {
                both.close();
            }
            return down.forward(scope, hidden);
        }
    }

    /**
     * {@return the gradient of x, owned by the caller}
     *
     * @param again makes x again
     */
    public Tensor backward(StepScope scope, Tensor gradOutput, InputSource again) {
        Tensor gradBoth;
        try (Tensor both = saved.pop();
                Tensor gradHidden = down.backward(
                        scope, gradOutput, inner -> backend.neural().swiGlu(inner, both))) {
            gradBoth = backend.neural().swiGluBackward(scope, gradHidden, both);
        }
        try (gradBoth) {
            return gateUp.backward(scope, gradBoth, again);
        }
    }

    @Override
    public void close() {
        saved.forEach(Tensor::close);
        saved.clear();
        gateUp.close();
        down.close();
    }
}
