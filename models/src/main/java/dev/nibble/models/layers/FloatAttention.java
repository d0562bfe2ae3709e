package dev.nibble.models.layers;

import dev.nibble.quant.TensorCodec;
import dev.nibble.spi.AttentionShape;
import dev.nibble.spi.Backend;
import dev.nibble.spi.NeuralOps;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.Tensor;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.Optional;

/** Attention in FP32, one operation a pass; keeps the logarithms of the softmax's denominators. */
final class FloatAttention implements Attention {
    private final Backend backend;
    private final Deque<Tensor> logarithms = new ArrayDeque<>(); // [heads · tokens] each

    FloatAttention(Backend backend) {
        this.backend = backend;
    }

    @Override
    public List<QuantizedLayer> products() {
        return List.of();
    }

    @Override
    public Tensor forward(StepScope scope, Tensor qkv, AttentionShape shape, Optional<TensorCodec> codec) {
        NeuralOps.Saved result = backend.neural().attention(scope, qkv, shape);
        if (scope.context().keepsContext()) {
            scope.save(result.saved());
            logarithms.push(result.saved());
        } else {
            result.saved().close();
        }
        return result.output();
    }

    @Override
    public Tensor backward(StepScope scope, Tensor gradOutput, Tensor qkv, Tensor output, AttentionShape shape) {
        try (Tensor logs = logarithms.pop()) {
            return backend.neural().attentionBackward(scope, gradOutput, qkv, new NeuralOps.Saved(output, logs), shape);
        }
    }

    @Override
    public void close() {
        logarithms.forEach(Tensor::close);
        logarithms.clear();
    }
}
