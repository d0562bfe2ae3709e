package dev.nibble.models.layers;

import dev.nibble.quant.TensorCodec;
import dev.nibble.spi.Backend;
import dev.nibble.spi.NeuralOps;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.Tensor;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Optional;
import java.util.function.Supplier;

/** RMSNorm in FP32 (Zhang and Sennrich 2019, arXiv:1910.07467): {@code y = x / sqrt(mean(x²) + 1e-5) · weight}. */
public final class RmsNorm implements Norm {
    private static final float EPSILON = 1e-5f;

    private final Backend backend;
    private final Parameter weight;
    private final Supplier<Optional<TensorCodec>> codec;
    private final Deque<Saved> saved = new ArrayDeque<>();

    private record Saved(Kept x, Tensor inverseRms) {
        void close() {
            x.close();
            inverseRms.close();
        }
    }

    /**
     * Makes a layer that keeps x in FP32.
     *
     * @param backend computes
     * @param weight [width]; not owned
     */
    public RmsNorm(Backend backend, Parameter weight) {
        this(backend, weight, Optional::empty);
    }

    /**
     * Makes the layer.
     *
     * @param backend computes
     * @param weight [width]; not owned
     * @param codec tells how x is packed between the passes, as the reader of y wants it; empty for FP32
     */
    public RmsNorm(Backend backend, Parameter weight, Supplier<Optional<TensorCodec>> codec) {
        this.backend = backend;
        this.weight = weight;
        this.codec = codec;
    }

    /**
     * {@return y, [rows, width], owned by the caller} In training, keeps x: packed, or by a handle of its own.
     *
     * @param x [rows, width]; must not be modified before the backward pass
     */
    @Override
    public Tensor forward(StepScope scope, Tensor x) {
        NeuralOps.Saved result = backend.neural().rmsNorm(scope, x, weight.value(), EPSILON);
        if (scope.context().keepsContext()) {
            scope.save(result.saved());
            saved.push(new Saved(Kept.of(backend, scope, codec.get(), x), result.saved()));
        } else {
            result.saved().close();
        }
        return result.output();
    }

    /**
     * {@return y of the latest forward pass that has no backward pass yet, once more, owned by the caller} To the same bits, if
     * x was not packed.
     */
    @Override
    public Tensor recompute(StepScope scope) {
        try (Tensor x = saved.getFirst().x().tensor(scope)) {
            NeuralOps.Saved again = backend.neural().rmsNorm(scope, x, weight.value(), EPSILON);
            again.saved().close();
            return again.output();
        }
    }

    @Override
    public Tensor backward(StepScope scope, Tensor gradOutput) {
        Saved context = saved.pop();
        try (Tensor x = context.x().tensor(scope)) {
            return backend.neural()
                    .rmsNormBackward(scope, gradOutput, x, context.inverseRms(), weight.value(), weight.gradient());
        } finally {
            context.close();
        }
    }

    @Override
    public void close() {
        saved.forEach(Saved::close);
        saved.clear();
    }
}
