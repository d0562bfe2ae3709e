package dev.nibble.models.layers;

import dev.nibble.quant.TensorCodec;
import dev.nibble.spi.Backend;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.Tensor;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Optional;
import java.util.function.Supplier;

/**
 * A convolution, batch normalization, and a ReLU unless the output is added to something first. Between the passes it keeps what the
 * convolution gave; what follows is made again from it.
 */
final class ConvolutionUnit implements AutoCloseable {
    private final Backend backend;
    private final Convolution convolution;
    private final BatchNorm norm;
    private final boolean rectified;
    private final Supplier<Optional<TensorCodec>> codec;
    private final Deque<Saved> saved = new ArrayDeque<>();

    /** What the convolution gave, and its moments. */
    private record Saved(Kept raw, Tensor moments) {
        void close() {
            raw.close();
            moments.close();
        }
    }

    /**
     * Makes the unit.
     *
     * @param convolution owned by this
     * @param norm owned by this
     * @param rectified whether there is a ReLU
     * @param codec tells how the convolution's output is packed between the passes, as the reader of this unit's output wants it
     */
    ConvolutionUnit(
            Backend backend,
            Convolution convolution,
            BatchNorm norm,
            boolean rectified,
            Supplier<Optional<TensorCodec>> codec) {
        this.backend = backend;
        this.convolution = convolution;
        this.norm = norm;
        this.rectified = rectified;
        this.codec = codec;
    }

    Convolution convolution() {
        return convolution;
    }

    BatchNorm norm() {
        return norm;
    }

    /**
     * {@return y, owned by the caller}
     *
     * @param x [images · height · width, channels]; must not be modified before the backward pass
     */
    Tensor forward(StepScope scope, Tensor x) {
        try (Tensor raw = convolution.forward(scope, x);
                Tensor moments = norm.moments(scope, raw)) {
            if (scope.context().keepsContext()) {
                scope.save(moments);
                saved.push(new Saved(Kept.of(backend, scope, codec.get(), raw), moments.share()));
            }
            return output(scope, raw, moments);
        }
    }

    private Tensor output(StepScope scope, Tensor raw, Tensor moments) {
        Tensor normalized = norm.forward(scope, raw, moments);
        if (!rectified) {
            return normalized;
        }
        try (normalized) {
            return backend.neural().relu(scope, normalized);
        }
    }

    /** {@return y of the latest forward pass that has no backward pass yet, once more, owned by the caller} */
    Tensor output(StepScope scope) {
        Saved context = saved.getFirst();
        try (Tensor raw = context.raw().tensor(scope)) {
            return output(scope, raw, context.moments());
        }
    }

    /**
     * {@return dx, owned by the caller} Adds to the gradients of all parameters.
     *
     * @param gradOutput shaped like y
     * @param again makes x again
     */
    Tensor backward(StepScope scope, Tensor gradOutput, InputSource again) {
        Saved context = saved.pop();
        Tensor gradRaw;
        try (Tensor raw = context.raw().tensor(scope);
                Tensor gradNormalized = throughRelu(scope, gradOutput, raw, context.moments())) {
            gradRaw = norm.backward(scope, gradNormalized, raw, context.moments());
        } finally {
            context.close();
        }
        try (gradRaw) {
            return convolution.backward(scope, gradRaw, again);
        }
    }

    private Tensor throughRelu(StepScope scope, Tensor gradOutput, Tensor raw, Tensor moments) {
        if (!rectified) {
            return gradOutput.share();
        }
        try (Tensor y = output(scope, raw, moments)) {
            return backend.neural().reluBackward(scope, gradOutput, y);
        }
    }

    @Override
    public void close() {
        saved.forEach(Saved::close);
        saved.clear();
        norm.close();
        convolution.close();
    }
}
