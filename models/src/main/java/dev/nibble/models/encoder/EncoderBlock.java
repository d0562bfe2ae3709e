package dev.nibble.models.encoder;

import dev.nibble.models.layers.InputSource;
import dev.nibble.models.layers.LayerNorm;
import dev.nibble.models.layers.Mlp;
import dev.nibble.models.layers.QuantizedLayer;
import dev.nibble.models.layers.Repetition;
import dev.nibble.spi.Backend;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.Tensor;
import java.util.List;
import java.util.stream.Stream;

/**
 * A block whose norms stand behind the sums (Vaswani et al. 2017, arXiv:1706.03762): {@code h = norm(x + attention(x)); y = norm(h +
 * mlp(h))}.
 */
final class EncoderBlock implements AutoCloseable {
    private final Backend backend;
    private final EncoderAttention attention;
    private final LayerNorm attentionNorm;
    private final Mlp mlp;
    private final LayerNorm mlpNorm;
    private final Repetition repetition = new Repetition();

    /** Makes a block that owns its layers. */
    EncoderBlock(Backend backend, EncoderAttention attention, LayerNorm attentionNorm, Mlp mlp, LayerNorm mlpNorm) {
        this.backend = backend;
        this.attention = attention;
        this.attentionNorm = attentionNorm;
        this.mlp = mlp;
        this.mlpNorm = mlpNorm;
    }

    /** Keeps of a forward pass in training only x, and repeats it before the backward pass. */
    void repeatForward() {
        repetition.begin();
    }

    /** {@return its linear layers, in the order of the forward pass} */
    List<QuantizedLayer> linears() {
        return Stream.<QuantizedLayer>concat(
                        attention.linears().stream().map(layer -> layer.quantized()), mlp.linears().stream())
                .toList();
    }

    /**
     * {@return y, [rows, width], owned by the caller}
     *
     * @param x [rows, width]; closed
     * @param lengths tokens of each sequence
     */
    Tensor forward(StepScope scope, Tensor x, int[] lengths) {
        return repetition.forward(scope, x, (pass, input) -> once(pass, input, lengths));
    }

    private Tensor once(StepScope scope, Tensor x, int[] lengths) {
        Tensor middle;
        try (x;
                Tensor branch = attention.forward(scope, x, lengths)) {
            backend.neural().addInPlace(scope, branch, x);
            middle = attentionNorm.forward(scope, branch);
        }
        try (middle;
                Tensor branch = mlp.forward(scope, middle)) {
            backend.neural().addInPlace(scope, branch, middle);
            return mlpNorm.forward(scope, branch);
        }
    }

    /** {@return y of the latest forward pass that has no backward pass yet, once more, owned by the caller} */
    Tensor output(StepScope scope) {
        repetition.repeat(scope);
        return mlpNorm.recompute(scope);
    }

    /**
     * {@return the gradient of x, owned by the caller}
     *
     * @param gradOutput [rows, width]; closed
     * @param again makes x again
     */
    Tensor backward(StepScope scope, Tensor gradOutput, InputSource again) {
        repetition.beforeBackward(scope);
        Tensor gradMiddle;
        try (gradOutput) {
            gradMiddle = mlpNorm.backward(scope, gradOutput);
        }
        try (Tensor branch = mlp.backward(scope, gradMiddle, attentionNorm::recompute)) {
            backend.neural().addInPlace(scope, gradMiddle, branch);
        }
        Tensor gradX;
        try (gradMiddle) {
            gradX = attentionNorm.backward(scope, gradMiddle);
        }
        try (Tensor branch = attention.backward(scope, gradX, again)) {
            backend.neural().addInPlace(scope, gradX, branch);
        }
        return gradX;
    }

    @Override
    public void close() {
        repetition.close();
        attention.close();
        attentionNorm.close();
        mlp.close();
        mlpNorm.close();
    }
}
