package dev.nibble.models.layers;

import dev.nibble.quant.TensorCodec;
import dev.nibble.spi.Backend;
import dev.nibble.spi.StepScope;
import dev.nibble.spi.Window;
import dev.nibble.tensor.Tensor;
import java.util.Optional;

/**
 * A convolution without bias: the linear layer of a {@link Window}'s patches, so that its three products are computed as its quantizer
 * plans. Between the passes the layer keeps the patches' operand, whose elements are {@code kernel² / stride²} times those of the image.
 */
final class Convolution implements AutoCloseable {
    private final Backend backend;
    private final QuantizedLinear linear;
    private final Window window;

    /**
     * Makes the layer.
     *
     * @param linear [out, kernel · kernel · channels], owned by this layer
     */
    Convolution(Backend backend, QuantizedLinear linear, Window window) {
        this.backend = backend;
        this.linear = linear;
        this.window = window;
    }

    QuantizedLinear linear() {
        return linear;
    }

    Optional<TensorCodec> context() {
        return linear.context();
    }

    /** {@return whether the patches are the image itself} */
    private boolean isPointwise() {
        return window.kernel() == 1 && window.stride() == 1;
    }

    private Tensor patches(StepScope scope, Tensor x) {
        return isPointwise() ? x.share() : backend.convolution().unfold(scope, x, window);
    }

    /**
     * {@return y, [images · outHeight · outWidth, out], owned by the caller}
     *
     * @param x [images · height · width, channels]; must not be modified before the backward pass
     */
    Tensor forward(StepScope scope, Tensor x) {
        try (Tensor patches = patches(scope, x)) {
            return linear.forward(scope, patches);
        }
    }

    /**
     * {@return dx, owned by the caller} Adds dW to the weight's gradient.
     *
     * @param gradOutput shaped like y
     * @param again makes x again
     */
    Tensor backward(StepScope scope, Tensor gradOutput, InputSource again) {
        Tensor gradPatches = linear.backward(scope, gradOutput, inner -> {
            try (Tensor x = again.recompute(inner)) {
                return patches(inner, x);
            }
        });
        if (isPointwise()) {
            return gradPatches;
        }
        try (gradPatches) {
            return backend.convolution().fold(scope, gradPatches, window);
        }
    }

    @Override
    public void close() {
        linear.close();
    }
}
