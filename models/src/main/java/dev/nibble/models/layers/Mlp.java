package dev.nibble.models.layers;

import dev.nibble.spi.Backend;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.Tensor;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;

/** A feed-forward layer {@code down · f(first · x)}. What the function between needs again is kept as the second linear layer wants it. */
public final class Mlp implements AutoCloseable {
    private final Backend backend;
    private final MlpKind kind;
    private final Linear first;
    private final Linear down;
    private final Deque<Kept> saved = new ArrayDeque<>(); // what f read, or what it made: see MlpKind

    /**
     * Makes the layer.
     *
     * @param backend computes
     * @param kind what stands between the linear layers
     * @param first [hidden, width], or [2 · hidden, width] for gate and up; owned by this layer
     * @param down [width, hidden], owned by this layer
     */
    public Mlp(Backend backend, MlpKind kind, Linear first, Linear down) {
        this.backend = backend;
        this.kind = kind;
        this.first = first;
        this.down = down;
    }

    /** {@return its linear layers} */
    public List<QuantizedLinear> linears() {
        return List.of(first.quantized(), down.quantized());
    }

    /**
     * {@return [tokens, width], owned by the caller}
     *
     * @param x [tokens, width]; must not be modified before the backward pass
     */
    public Tensor forward(StepScope scope, Tensor x) {
        Tensor hidden;
        try (Tensor raised = first.forward(scope, x)) {
            hidden = kind.apply(backend.neural(), scope, raised);
            if (scope.context().keepsContext()) {
                saved.push(Kept.of(backend, scope, down.context(), kind.keepsOutput() ? hidden : raised));
            }
        }
        try (hidden) {
            return down.forward(scope, hidden);
        }
    }

    /**
     * {@return the gradient of x, owned by the caller}
     *
     * @param again makes x again
     */
    public Tensor backward(StepScope scope, Tensor gradOutput, InputSource again) {
        Tensor gradRaised;
        try (Kept kept = saved.pop();
                Tensor tensor = kept.tensor(scope);
                Tensor gradHidden = down.backward(scope, gradOutput, inner -> hidden(inner, tensor))) {
            gradRaised = kind.gradient(backend.neural(), scope, gradHidden, tensor);
        }
        try (gradRaised) {
            return first.backward(scope, gradRaised, again);
        }
    }

    private Tensor hidden(StepScope scope, Tensor kept) {
        return kind.keepsOutput() ? kept.share() : kind.apply(backend.neural(), scope, kept);
    }

    @Override
    public void close() {
        saved.forEach(Kept::close);
        saved.clear();
        first.close();
        down.close();
    }
}
