package dev.nibble.models.layers;

import dev.nibble.spi.StepScope;
import dev.nibble.tensor.Tensor;

/**
 * Makes the input of a layer's forward pass once more, to the same bits, from what its producer has kept. A quantizer whose backward pass
 * needs X asks for it, so that no FP32 copy of X is kept between the passes.
 */
@FunctionalInterface
public interface InputSource {
    /** {@return X, owned by the caller} */
    Tensor recompute(StepScope scope);
}
