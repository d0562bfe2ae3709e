package dev.nibble.models.layers;

import dev.nibble.quant.TensorCodec;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.Tensor;
import java.util.Optional;

/** A linear layer, with a bias or without, as the layers around it see it. */
public sealed interface Linear extends AutoCloseable permits QuantizedLinear, OutlierLinear, BiasedLinear {
    /**
     * {@return Y, FP32, [tokens, out], owned by the caller}
     *
     * @param x FP32, [tokens, in]; not modified, and it must not be modified before the backward pass
     */
    Tensor forward(StepScope scope, Tensor x);

    /**
     * {@return dX, FP32, [tokens, in], owned by the caller} Adds to the gradients of its parameters.
     *
     * @param gradOutput dY, FP32, [tokens, out]; not modified
     * @param again makes X again
     */
    Tensor backward(StepScope scope, Tensor gradOutput, InputSource again);

    /** {@return how the operation before this layer keeps its input: see {@code LinearQuantizer.context}} */
    Optional<TensorCodec> context();

    /** {@return the layer whose products a quantizer plans} */
    QuantizedLinear quantized();

    @Override
    void close();
}
