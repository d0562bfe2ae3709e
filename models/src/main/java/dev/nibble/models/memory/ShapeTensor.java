package dev.nibble.models.memory;

import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;

/** A handle on nothing but a count. */
final class ShapeTensor implements Tensor {
    private final String label;
    private final DType dtype;
    private final Shape shape;
    private final ShapeMemory.Storage storage;
    private boolean open = true;

    ShapeTensor(String label, DType dtype, Shape shape, ShapeMemory.Storage storage) {
        this.label = label;
        this.dtype = dtype;
        this.shape = shape;
        this.storage = storage;
    }

    static ShapeTensor of(Tensor tensor) {
        if (tensor instanceof ShapeTensor own) {
            return own;
        }
        throw new IllegalArgumentException(tensor.label() + " is a tensor of another backend");
    }

    void retag(MemoryTag tag) {
        requireOpen();
        storage.retag(tag);
    }

    private void requireOpen() {
        if (!open) {
            throw new IllegalStateException(label + " is used after it was closed");
        }
    }

    @Override
    public String label() {
        return label;
    }

    @Override
    public DType dtype() {
        return dtype;
    }

    @Override
    public Shape shape() {
        return shape;
    }

    @Override
    public ShapeTensor share() {
        requireOpen();
        storage.retain();
        return new ShapeTensor(label, dtype, shape, storage);
    }

    @Override
    public void close() {
        if (open) {
            open = false;
            storage.release();
        }
    }
}
