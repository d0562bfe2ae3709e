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

/**
 * Layer normalization in FP32 (Ba et al. 2016, arXiv:1607.06450): {@code y = c / sqrt(mean(c²) + epsilon) · weight + bias} with {@code
 * c = x - mean(x)}, a row. Between the passes it keeps c, packed if the reader of y wants it.
 */
public final class LayerNorm implements Norm {
    /** As in BERT. */
    public static final float BERT_EPSILON = 1e-12f;

    /** As in GPT-2. */
    static final float GPT2_EPSILON = 1e-5f;

    private final Backend backend;
    private final Parameter weight;
    private final Parameter bias;
    private final float epsilon;
    private final Supplier<Optional<TensorCodec>> codec;
    private final Deque<Saved> saved = new ArrayDeque<>();

    private record Saved(Kept centered, Tensor inverseDeviation) {
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
     * @param epsilon added to the mean square
     * @param codec tells how c is packed between the passes, as the reader of y wants it; empty for FP32
     */
    public LayerNorm(
            Backend backend, Parameter weight, Parameter bias, float epsilon, Supplier<Optional<TensorCodec>> codec) {
        this.backend = backend;
        this.weight = weight;
        this.bias = bias;
        this.epsilon = epsilon;
        this.codec = codec;
    }

    /**
     * {@return y, [rows, width], owned by the caller}
     *
     * @param x [rows, width]; may be closed or changed afterwards
     */
    @Override
    public Tensor forward(StepScope scope, Tensor x) {
        try (Tensor centered = backend.neural().centerRows(scope, x)) {
            NeuralOps.Saved result = backend.neural().rmsNorm(scope, centered, weight.value(), epsilon);
            if (scope.context().keepsContext()) {
                scope.save(result.saved());
                saved.push(new Saved(Kept.of(backend, scope, codec.get(), centered), result.saved()));
            } else {
                result.saved().close();
            }
            backend.neural().addRowInPlace(scope, result.output(), bias.value());
            return result.output();
        }
    }

    @Override
    public Tensor recompute(StepScope scope) {
        try (Tensor centered = saved.getFirst().centered().tensor(scope)) {
            NeuralOps.Saved again = backend.neural().rmsNorm(scope, centered, weight.value(), epsilon);
            again.saved().close();
            backend.neural().addRowInPlace(scope, again.output(), bias.value());
            return again.output();
        }
    }

    @Override
    public Tensor backward(StepScope scope, Tensor gradOutput) {
        Saved context = saved.pop();
        backend.neural().sumRows(scope, gradOutput, bias.gradient());
        try (Tensor centered = context.centered().tensor(scope);
                Tensor gradCentered = backend.neural()
                        .rmsNormBackward(
                                scope,
                                gradOutput,
                                centered,
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
