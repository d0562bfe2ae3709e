package dev.nibble.spi;

import dev.nibble.quant.TensorCodec;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;

/**
 * An FP32 tensor in packed codes, on a device. It is stored, not multiplied: see {@link TensorCodec}.
 *
 * @param codec how it was made
 * @param shape of the tensor that it stands for
 * @param codes INT8, [rows, {@link TensorCodec#rowBytes}], owned by this
 * @param scales FP32, [rows, {@link TensorCodec#scales}], owned by this
 */
public record EncodedTensor(TensorCodec codec, Shape shape, Tensor codes, Tensor scales) implements AutoCloseable {
    /** Counts its memory as CONTEXT until it is closed: see {@link StepScope#save(Tensor)}. */
    public void save(StepScope scope) {
        scope.save(codes);
        scope.save(scales);
    }

    /** Gives its handles up. */
    @Override
    public void close() {
        codes.close();
        scales.close();
    }
}
