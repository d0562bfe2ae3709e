package dev.nibble.models.layers;

import dev.nibble.spi.StepScope;
import dev.nibble.tensor.Tensor;
import java.util.List;

/** A feed-forward layer: two linear layers with something between them. */
public sealed interface Mlp extends AutoCloseable permits SwiGluMlp, ReluMlp, GeluMlp {
    /** {@return its linear layers} */
    List<QuantizedLinear> linears();

    /**
     * {@return [tokens, width], owned by the caller}
     *
     * @param x [tokens, width]; must not be modified before the backward pass
     */
    Tensor forward(StepScope scope, Tensor x);

    /**
     * {@return the gradient of x, owned by the caller}
     *
     * @param again makes x again
     */
    Tensor backward(StepScope scope, Tensor gradOutput, InputSource again);

    @Override
    void close();
}
