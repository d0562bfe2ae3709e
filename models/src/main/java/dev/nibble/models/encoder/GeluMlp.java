package dev.nibble.models.encoder;

import dev.nibble.models.layers.InputSource;
import dev.nibble.spi.Backend;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.Tensor;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;

/** A feed-forward layer {@code down · gelu(up · x + b) + c}. What GELU read is kept in FP32. */
final class GeluMlp implements AutoCloseable {
    private final Backend backend;
    private final BiasedLinear up;
    private final BiasedLinear down;
    private final Deque<Tensor> saved = new ArrayDeque<>(); // [rows, hidden] each

    /**
     * Makes the layer.
     *
     * @param up [hidden, width], owned by this layer
     * @param down [width, hidden], owned by this layer
     */
    GeluMlp(Backend backend, BiasedLinear up, BiasedLinear down) {
        this.backend = backend;
        this.up = up;
        this.down = down;
    }

    /** {@return its linear layers} */
    List<BiasedLinear> linears() {
        return List.of(up, down);
    }

    /** {@return [rows, width], owned by the caller} */
    Tensor forward(StepScope scope, Tensor x) {
        Tensor raised = up.forward(scope, x);
        try (Tensor hidden = backend.neural().gelu(scope, raised)) {
            if (scope.context().keepsContext()) {
                scope.save(raised);
                saved.push(raised);
            } else {
                raised.close();
            }
            return down.forward(scope, hidden);
        }
    }

    /**
     * {@return the gradient of x, owned by the caller}
     *
     * @param again makes x again
     */
    Tensor backward(StepScope scope, Tensor gradOutput, InputSource again) {
        Tensor gradRaised;
        try (Tensor raised = saved.pop();
                Tensor gradHidden = down.backward(
                        scope, gradOutput, inner -> backend.neural().gelu(inner, raised))) {
            gradRaised = backend.neural().geluBackward(scope, gradHidden, raised);
        }
        try (gradRaised) {
            return up.backward(scope, gradRaised, again);
        }
    }

    @Override
    public void close() {
        saved.forEach(Tensor::close);
        saved.clear();
        up.close();
        down.close();
    }
}
