package dev.nibble.models.layers;

import dev.nibble.quant.TensorCodec;
import dev.nibble.spi.AttentionShape;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.Tensor;
import java.util.List;
import java.util.Optional;

/** {@code softmax(q · kᵀ / sqrt(headSize)) · v} for each head of each sequence, without parameters. */
sealed interface Attention extends AutoCloseable permits FloatAttention, QuantizedAttention {
    /** {@return its products that a quantizer plans} */
    List<QuantizedLayer> products();

    /**
     * {@return the output, FP32, [tokens, width], owned by the caller} Keeps what {@link #backward} needs beside qkv and the output.
     *
     * @param qkv packed q, k and v
     * @param codec how weights of keys are kept, if they are; empty for FP32
     */
    Tensor forward(StepScope scope, Tensor qkv, AttentionShape shape, Optional<TensorCodec> codec);

    /**
     * {@return the gradient of qkv, packed, owned by the caller}
     *
     * @param gradOutput [tokens, width]
     * @param qkv as in the forward pass, or rounded
     * @param output result of the forward pass, or that rounded
     */
    Tensor backward(StepScope scope, Tensor gradOutput, Tensor qkv, Tensor output, AttentionShape shape);

    @Override
    void close();
}
