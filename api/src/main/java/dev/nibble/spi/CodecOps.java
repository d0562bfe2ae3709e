package dev.nibble.spi;

import dev.nibble.quant.TensorCodec;
import dev.nibble.tensor.Tensor;

/**
 * Packs tensors that are kept and unpacks them again. Codes and scales equal those of {@code dev.nibble.reference} bit for bit.
 */
public interface CodecOps {
    /**
     * {@return the tensor in packed codes, owned by the caller, living at most as long as the scope}
     *
     * @param scope the open step
     * @param codec how
     * @param x FP32; not modified
     */
    EncodedTensor encode(StepScope scope, TensorCodec codec, Tensor x);

    /**
     * {@return what codes and scales mean: FP32, each element one product, owned by the caller}
     *
     * @param scope the open step
     * @param encoded not modified
     */
    Tensor decode(StepScope scope, EncodedTensor encoded);
}
