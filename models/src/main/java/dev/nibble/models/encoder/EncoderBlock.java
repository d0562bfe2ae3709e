package dev.nibble.models.encoder;

import dev.nibble.models.layers.GeluMlp;
import dev.nibble.models.layers.InputSource;
import dev.nibble.models.layers.LayerNorm;
import dev.nibble.spi.Backend;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.Tensor;

/**
 * A block whose norms stand behind the sums (Vaswani et al. 2017, arXiv:1706.03762): {@code h = norm(x + attention(x)); y = norm(h +
 * mlp(h))}.
 *
 * @param backend computes
 * @param attention owned by this
 * @param attentionNorm owned by this
 * @param mlp owned by this
 * @param mlpNorm owned by this
 */
record EncoderBlock(
        Backend backend, EncoderAttention attention, LayerNorm attentionNorm, GeluMlp mlp, LayerNorm mlpNorm)
        implements AutoCloseable {
    /**
     * {@return y, [rows, width], owned by the caller}
     *
     * @param x [rows, width]; closed
     * @param lengths tokens of each sequence
     */
    Tensor forward(StepScope scope, Tensor x, int[] lengths) {
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

    /**
     * {@return the gradient of x, owned by the caller}
     *
     * @param gradOutput [rows, width]; closed
     * @param again makes x again
     */
    Tensor backward(StepScope scope, Tensor gradOutput, InputSource again) {
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
        attention.close();
        attentionNorm.close();
        mlp.close();
        mlpNorm.close();
    }
}
