package dev.nibble.host;

import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.Optional;

/** A handle on a Java array, row-major from index 0. */
public final class HostTensor implements Tensor {
    private final String label;
    private final Shape shape;
    private final HostStorage storage;
    private boolean open = true;

    HostTensor(String label, Shape shape, HostStorage storage) {
        this.label = label;
        this.shape = shape;
        this.storage = storage;
    }

    /**
     * {@return the tensor as a host tensor}
     *
     * @throws IllegalArgumentException if it lives elsewhere
     */
    public static HostTensor of(Tensor tensor) {
        if (tensor instanceof HostTensor host) {
            return host;
        }
        throw new IllegalArgumentException(tensor.label() + " is a tensor of another backend");
    }

    /** {@return the array of an FP32 tensor} */
    public static float[] floats(Tensor tensor) {
        return (float[]) of(tensor).array(DType.FP32);
    }

    /** {@return the array of an INT32 tensor} */
    public static int[] ints(Tensor tensor) {
        return (int[]) of(tensor).array(DType.INT32);
    }

    /** {@return the array of a tensor of one-byte elements, or of two 4-bit elements a byte} */
    public byte[] bytes() {
        requireOpen();
        if (storage.array instanceof byte[] bytes) {
            return bytes;
        }
        throw new IllegalArgumentException(label + " is " + dtype().label() + ", but a one-byte type is needed");
    }

    /** {@return the array of a BF16 or FP16 tensor} */
    public short[] shorts() {
        requireOpen();
        if (storage.array instanceof short[] shorts) {
            return shorts;
        }
        throw new IllegalArgumentException(label + " is " + dtype().label() + ", but a two-byte type is needed");
    }

    private Object array(DType needed) {
        requireOpen();
        requireType(needed);
        return storage.settled();
    }

    /**
     * Sets all elements of an FP32 tensor to 0. They are written when somebody asks for the array, unless {@link #takeZeros}
     * comes first: a gradient that is zeroed and then added to need not be written twice.
     */
    public void zeroLater() {
        requireOpen();
        requireType(DType.FP32);
        storage.zeroLater();
    }

    /**
     * {@return the array of an FP32 tensor whose zeros have not been written, for somebody who writes all of its elements; empty if
     * it holds what counts}
     */
    public Optional<float[]> takeZeros() {
        requireOpen();
        return storage.takeZeros() ? Optional.of((float[]) storage.array) : Optional.empty();
    }

    private void requireType(DType needed) {
        if (storage.dtype != needed) {
            throw new IllegalArgumentException(
                    label + " is " + dtype().label() + ", but " + needed.label() + " is needed");
        }
    }

    private void requireOpen() {
        if (!open) {
            throw new IllegalStateException(label + " is used after it was closed");
        }
    }

    /** {@return what the memory is for} */
    public MemoryTag tag() {
        return storage.tag;
    }

    /** Counts the memory under another tag, for all its handles. */
    public void retag(MemoryTag tag) {
        requireOpen();
        storage.memory.retag(storage, tag);
    }

    /** {@return whether this handle is open} */
    public boolean isOpen() {
        return open;
    }

    @Override
    public String label() {
        return label;
    }

    @Override
    public DType dtype() {
        return storage.dtype;
    }

    @Override
    public Shape shape() {
        return shape;
    }

    @Override
    public HostTensor share() {
        requireOpen();
        storage.retain();
        return new HostTensor(label, shape, storage);
    }

    @Override
    public void close() {
        if (open) {
            open = false;
            storage.release();
        }
    }

    @Override
    public String toString() {
        return label + " " + dtype().label() + shape;
    }
}
