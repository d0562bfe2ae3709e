package dev.nibble.models.layers;

import dev.nibble.spi.StepScope;
import dev.nibble.tensor.Tensor;

/** A normalization of rows, with what it keeps for the backward pass. */
public sealed interface Norm extends AutoCloseable permits RmsNorm, LayerNorm {
    /**
     * {@return y, [rows, width], owned by the caller} In training, keeps what the backward pass needs.
     *
     * @param x [rows, width]; must not be modified before the backward pass
     */
    Tensor forward(StepScope scope, Tensor x);

    /** {@return y of the latest forward pass that has no backward pass yet, once more, owned by the caller} */
    Tensor recompute(StepScope scope);

    /** {@return dx, [rows, width], owned by the caller} Adds to the gradients of its parameters; frees what was kept. */
    Tensor backward(StepScope scope, Tensor gradOutput);

    @Override
    void close();
}
