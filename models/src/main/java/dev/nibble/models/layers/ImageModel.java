package dev.nibble.models.layers;

import dev.nibble.spi.StepScope;
import dev.nibble.tensor.Tensor;
import java.util.List;
import java.util.SequencedMap;

/** A model that classifies images, cut into square patches: {@link Vit} into tokens, {@link ResNet} into pixels. */
public sealed interface ImageModel extends AutoCloseable permits Vit, ResNet {
    /** {@return all parameters, each once} */
    List<Parameter> parameters();

    /** {@return the linear layers, and the products that are quantized like them, in the model's order} */
    List<QuantizedLayer> linears();

    /** {@return what the forward pass of a training step changes besides, by name: running averages; not owned} */
    SequencedMap<String, Tensor> averages();

    /** Has the blocks repeat their forward passes before the backward pass, to the same bits, and keep only what enters them. */
    void repeatBlocks();

    /**
     * {@return logits, FP32, [images, classes], owned by the caller}
     *
     * @param patches FP32, [images · tokens, pixels]: the images one after the other; not modified
     * @param ids INT32, [images · tokens]: which patch of its image each one is
     */
    Tensor forward(StepScope scope, Tensor patches, Tensor ids);

    /**
     * Adds to the gradients of all parameters.
     *
     * @param patches as in the forward pass
     * @param ids as in the forward pass
     * @param gradLogits gradient of the logits
     */
    void backward(StepScope scope, Tensor patches, Tensor ids, Tensor gradLogits);

    @Override
    void close();
}
