package dev.nibble.models.layers;

import dev.nibble.quant.TensorCodec;
import dev.nibble.spi.Backend;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.Tensor;
import java.util.Optional;

/**
 * {@code Y = X · Wᵀ + bias}: the product as a quantizer plans it, the bias in FP32.
 *
 * @param backend computes
 * @param linear the product, owned by this
 * @param bias [out]; not owned
 */
public record BiasedLinear(Backend backend, Linear linear, Parameter bias) implements Linear {
    @Override
    public Tensor forward(StepScope scope, Tensor x) {
        Tensor y = linear.forward(scope, x);
        backend.neural().addRowInPlace(scope, y, bias.value());
        return y;
    }

    @Override
    public Tensor backward(StepScope scope, Tensor gradOutput, InputSource again) {
        backend.neural().sumRows(scope, gradOutput, bias.gradient());
        return linear.backward(scope, gradOutput, again);
    }

    @Override
    public Optional<TensorCodec> context() {
        return linear.context();
    }

    @Override
    public QuantizedLinear quantized() {
        return linear.quantized();
    }

    @Override
    public void close() {
        linear.close();
    }
}
