package dev.nibble.models.encoder;

import dev.nibble.models.layers.InputSource;
import dev.nibble.models.layers.Parameter;
import dev.nibble.models.layers.QuantizedLinear;
import dev.nibble.spi.Backend;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.Tensor;

/**
 * {@code Y = X · Wᵀ + bias}: the product as a quantizer plans it, the bias in FP32.
 *
 * @param backend computes
 * @param linear the product, owned by this
 * @param bias [out]; not owned
 */
record BiasedLinear(Backend backend, QuantizedLinear linear, Parameter bias) implements AutoCloseable {
    /**
     * {@return Y, [rows, out], owned by the caller}
     *
     * @param x [rows, in]; must not be modified before the backward pass
     */
    Tensor forward(StepScope scope, Tensor x) {
        Tensor y = linear.forward(scope, x);
        backend.neural().addRowInPlace(scope, y, bias.value());
        return y;
    }

    /**
     * {@return dX, [rows, in], owned by the caller} Adds to the gradients of weight and bias.
     *
     * @param again makes X again
     */
    Tensor backward(StepScope scope, Tensor gradOutput, InputSource again) {
        backend.neural().sumRows(scope, gradOutput, bias.gradient());
        return linear.backward(scope, gradOutput, again);
    }

    @Override
    public void close() {
        linear.close();
    }
}
