package dev.nibble.models.encoder;

import dev.nibble.models.layers.Parameter;
import dev.nibble.spi.Backend;
import dev.nibble.spi.NeuralOps;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.Tensor;
import java.util.ArrayDeque;
import java.util.Deque;

/**
 * Layer normalization in FP32 (Ba et al. 2016, arXiv:1607.06450): {@code y = c / sqrt(mean(c²) + 1e-12) · weight + bias} with {@code c
 * = x - mean(x)}, a row. Between the passes it keeps c.
 */
final class LayerNorm implements AutoCloseable {
    private static final float EPSILON = 1e-12f; // as BERT

    private final Backend backend;
    private final Parameter weight;
    private final Parameter bias;
    private final Deque<Saved> saved = new ArrayDeque<>();

    private record Saved(Tensor centered, Tensor inverseDeviation) {
        void close() {
            centered.close();
            inverseDeviation.close();
        }
    }

    /**
     * Makes the layer.
     *
     * @param weight [width]; not owned
     * @param bias [width]; not owned
     */
    LayerNorm(Backend backend, Parameter weight, Parameter bias) {
        this.backend = backend;
        this.weight = weight;
        this.bias = bias;
    }

    /**
     * {@return y, [rows, width], owned by the caller}
     *
     * @param x [rows, width]; may be closed or changed afterwards
     */
    Tensor forward(StepScope scope, Tensor x) {
        Tensor centered = backend.neural().centerRows(scope, x);
        NeuralOps.Saved result = backend.neural().rmsNorm(scope, centered, weight.value(), EPSILON);
        Saved context = new Saved(centered, result.saved());
        if (scope.context().keepsContext()) {
            scope.save(context.centered());
            scope.save(context.inverseDeviation());
            saved.push(context);
        } else {
            context.close();
        }
        backend.neural().addRowInPlace(scope, result.output(), bias.value());
        return result.output();
    }

    /** {@return y of the latest forward pass that has no backward pass yet, once more, to the same bits, owned by the caller} */
    Tensor recompute(StepScope scope) {
        NeuralOps.Saved again = backend.neural().rmsNorm(scope, saved.getFirst().centered(), weight.value(), EPSILON);
        again.saved().close();
        backend.neural().addRowInPlace(scope, again.output(), bias.value());
        return again.output();
    }

    /** {@return dx, [rows, width], owned by the caller} Adds to the gradients of weight and bias; frees what was kept. */
    Tensor backward(StepScope scope, Tensor gradOutput) {
        Saved context = saved.pop();
        backend.neural().sumRows(scope, gradOutput, bias.gradient());
        try (Tensor gradCentered = backend.neural()
                .rmsNormBackward(
                        scope,
                        gradOutput,
                        context.centered(),
                        context.inverseDeviation(),
                        weight.value(),
                        weight.gradient())) {
            return backend.neural().centerRows(scope, gradCentered);
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
