package dev.nibble.spi;

import dev.nibble.tensor.DType;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;

/**
 * The time between the first and the last operation of a step. While it is open, reading a device value throws; when it
 * closes, everything that was allocated in it and is still open is freed.
 */
public interface StepScope extends AutoCloseable {
    /** {@return where in training this is} */
    StepContext context();

    /**
     * {@return new memory that lives until it or the scope is closed; its contents are undefined}
     *
     * @param label name used in messages
     * @param dtype element type
     * @param shape extents
     */
    Tensor allocate(String label, DType dtype, Shape shape);

    /**
     * Counts a tensor as CONTEXT until it is closed: the forward pass keeps it for the backward pass. Saving it twice, or
     * two handles on the same memory, counts once.
     */
    void save(Tensor tensor);

    /** Counts the memory of an operand as CONTEXT until it is closed. */
    void save(Operand operand);

    /**
     * {@return this step, seen in another mode: the same memory, until this step ends} A layer runs a part of a step in it.
     *
     * @param mode of the part
     */
    default StepScope in(StepContext.Mode mode) {
        return new ScopeView(this, context().in(mode));
    }

    /** {@return the scope that the backend has opened, of which this may be a view} What a backend casts is this. */
    default StepScope own() {
        return this;
    }

    @Override
    void close();
}
