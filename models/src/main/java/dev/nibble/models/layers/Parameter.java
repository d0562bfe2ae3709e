package dev.nibble.models.layers;

import dev.nibble.spi.Backend;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;

/**
 * A trained tensor, FP32, with its gradient, which the layers add to.
 *
 * @param name as in checkpoints: {@code blocks.0.mlp.down.weight}
 * @param value master values
 * @param gradient same shape; set to 0 at the start of a step
 * @param decay whether weight decay applies
 */
public record Parameter(String name, Tensor value, Tensor gradient, boolean decay) implements AutoCloseable {
    /**
     * {@return a new parameter, owned by the caller}
     *
     * @param values first values, row-major
     */
    public static Parameter create(Backend backend, String name, Shape shape, boolean decay, float[] values) {
        Tensor value = backend.allocate(name, DType.FP32, shape, MemoryTag.PARAMETER);
        backend.write(value, values);
        Tensor gradient = backend.allocate(name + ".gradient", DType.FP32, shape, MemoryTag.GRADIENT);
        return new Parameter(name, value, gradient, decay);
    }

    @Override
    public void close() {
        value.close();
        gradient.close();
    }
}
