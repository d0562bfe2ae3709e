package dev.nibble.models.layers;

import dev.nibble.spi.Backend;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearQuantizer;
import java.util.List;
import java.util.function.Function;

/** Sizes of an {@link ImageModel}. */
public sealed interface ImageShape permits VitShape, ResNetShape {
    /** {@return the side of the squares that an image is cut into, pixels} */
    int patch();

    /** {@return all that a quantizer plans, in the model's order} */
    List<LinearLayer> planned();

    /**
     * {@return trained numbers}
     *
     * @param tokens patches of an image
     */
    long parameters(int tokens);

    /**
     * {@return the model in one line}
     *
     * @param tokens patches of an image
     */
    String summary(int tokens);

    /**
     * {@return a model with its first weights, owned by the caller}
     *
     * @param backend computes
     * @param rows of an image, pixels
     * @param cols of an image, pixels
     * @param seed seed of the first weights
     * @param quantizers how each linear layer is computed
     * @throws IllegalArgumentException if images of this size do not fit
     */
    ImageModel model(Backend backend, int rows, int cols, long seed, Function<LinearLayer, LinearQuantizer> quantizers);
}
