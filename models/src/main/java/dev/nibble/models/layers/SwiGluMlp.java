package dev.nibble.models.layers;

import dev.nibble.spi.Backend;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.Tensor;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;

/**
 * A gated feed-forward layer (Shazeer 2020, arXiv:2002.05202): one linear layer makes gate and up, and another maps
 * {@code gate · sigmoid(gate) · up} back. Gate and up are kept as the second wants it.
 */
public final class SwiGluMlp implements Mlp {
    private final Backend backend;
    private final Linear gateUp;
    private final Linear down;
    private final Deque<Kept> saved = new ArrayDeque<>();

    /**
     * Makes the layer.
     *
     * @param backend computes
     * @param gateUp [2 · hidden, width], owned by this layer
     * @param down [width, hidden], owned by this layer
     */
    public SwiGluMlp(Backend backend, Linear gateUp, Linear down) {
        this.backend = backend;
        this.gateUp = gateUp;
        this.down = down;
    }

    @Override
    public List<QuantizedLinear> linears() {
        return List.of(gateUp.quantized(), down.quantized());
    }

    @Override
    public Tensor forward(StepScope scope, Tensor x) {
        Tensor hidden;
        try (Tensor both = gateUp.forward(scope, x)) {
            hidden = backend.neural().swiGlu(scope, both);
            if (scope.context().keepsContext()) {
                saved.push(Kept.of(backend, scope, down.context(), both));
            }
        }
        try (hidden) {
            return down.forward(scope, hidden);
        }
    }

    @Override
    public Tensor backward(StepScope scope, Tensor gradOutput, InputSource again) {
        Tensor gradBoth;
        try (Kept kept = saved.pop();
                Tensor both = kept.tensor(scope);
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
        saved.forEach(Kept::close);
        saved.clear();
        gateUp.close();
        down.close();
    }
}
