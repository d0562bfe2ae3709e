package dev.nibble.models.layers;

import dev.nibble.spi.Backend;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.Tensor;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;

/** A feed-forward layer {@code down · max(up · x, 0)}. The hidden features are kept as the second linear layer wants it. */
public final class ReluMlp implements Mlp {
    private final Backend backend;
    private final Linear up;
    private final Linear down;
    private final Deque<Kept> saved = new ArrayDeque<>();

    /**
     * Makes the layer.
     *
     * @param backend computes
     * @param up [hidden, width], owned by this layer
     * @param down [width, hidden], owned by this layer
     */
    public ReluMlp(Backend backend, Linear up, Linear down) {
        this.backend = backend;
        this.up = up;
        this.down = down;
    }

    @Override
    public List<QuantizedLinear> linears() {
        return List.of(up.quantized(), down.quantized());
    }

    @Override
    public Tensor forward(StepScope scope, Tensor x) {
        Tensor hidden;
        try (Tensor raised = up.forward(scope, x)) {
            hidden = backend.neural().relu(scope, raised);
        }
        try (hidden) {
            if (scope.context().keepsContext()) {
                saved.push(Kept.of(backend, scope, down.context(), hidden));
            }
            return down.forward(scope, hidden);
        }
    }

    @Override
    public Tensor backward(StepScope scope, Tensor gradOutput, InputSource again) {
        Tensor gradRaised;
        try (Kept kept = saved.pop();
                Tensor hidden = kept.tensor(scope);
                Tensor gradHidden = down.backward(scope, gradOutput, _ -> hidden.share())) {
            gradRaised = backend.neural().reluBackward(scope, gradHidden, hidden);
        }
        try (gradRaised) {
            return up.backward(scope, gradRaised, again);
        }
    }

    @Override
    public void close() {
        saved.forEach(Kept::close);
        saved.clear();
        up.close();
        down.close();
    }
}
