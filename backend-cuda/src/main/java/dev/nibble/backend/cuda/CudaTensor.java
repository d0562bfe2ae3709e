package dev.nibble.backend.cuda;

import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.Optional;

/**
 * A handle on device memory: row-major, dense unless it holds the codes of an operand ({@link CudaMemory#allocateCodes}),
 * whose rows are {@link #pitchBytes} apart. The base is aligned to 256 bytes.
 */
final class CudaTensor implements Tensor {
    private final String label;
    private final DType dtype;
    private final Shape shape;
    private final long pitchBytes;
    private final CudaStorage storage;
    private boolean open = true;

    CudaTensor(String label, DType dtype, Shape shape, long pitchBytes, CudaStorage storage) {
        this.label = label;
        this.dtype = dtype;
        this.shape = shape;
        this.pitchBytes = pitchBytes;
        this.storage = storage;
    }

    /**
     * {@return the tensor as one of this backend}
     *
     * @throws IllegalArgumentException if it lives elsewhere
     */
    static CudaTensor of(Tensor tensor) {
        if (tensor instanceof CudaTensor cuda) {
            return cuda;
        }
        throw new IllegalArgumentException(tensor.label() + " is a tensor of another backend");
    }

    /**
     * {@return the address of an FP32 tensor}
     *
     * @throws IllegalArgumentException if it lives elsewhere or has another type
     */
    static long floats(Tensor tensor) {
        return of(tensor).require(DType.FP32).address();
    }

    /** {@return the address of an INT32 tensor} */
    static long ints(Tensor tensor) {
        return of(tensor).require(DType.INT32).address();
    }

    /** {@return this, if it has the type} */
    CudaTensor require(DType needed) {
        if (dtype != needed) {
            throw new IllegalArgumentException(
                    label + " is " + dtype.label() + ", but " + needed.label() + " is needed");
        }
        return this;
    }

    /**
     * {@return where it begins on the device}
     *
     * @throws IllegalStateException if it was closed
     */
    long address() {
        requireOpen();
        return storage.address;
    }

    /** Remembers in which range the integers lie that the host writes. */
    void noteRange(int[] values) {
        int smallestAt = 0;
        int largestAt = 0;
        for (int i = 1; i < values.length; i++) {
            smallestAt = values[i] < values[smallestAt] ? i : smallestAt;
            largestAt = values[i] > values[largestAt] ? i : largestAt;
        }
        if (values.length > 0) {
            storage.smallest = values[smallestAt];
            storage.smallestAt = smallestAt;
            storage.largest = values[largestAt];
            storage.largestAt = largestAt;
        }
    }

    /**
     * Refuses integers that are no number of a row. The device is not asked: only the host writes integers.
     *
     * @param what name of the operand
     * @param integers the tensor
     * @param limit of what they number
     */
    static void requireBelow(String what, Tensor integers, int limit) {
        CudaStorage written = of(integers).storage;
        boolean negative = written.smallest < 0;
        if (integers.shape().elements() > 0 && (negative || written.largest >= limit)) {
            int value = negative ? written.smallest : written.largest;
            int at = negative ? written.smallestAt : written.largestAt;
            throw new IllegalArgumentException(
                    "%s[%d] is %d, but must be in 0..%d".formatted(what, at, value, limit - 1));
        }
    }

    /** Remembers what the host writes, if it is one element. */
    void noteScalar(float[] values) {
        storage.scalar = values.length == 1 ? Optional.of(values[0]) : Optional.empty();
    }

    /** Notes that a kernel writes it. */
    void forgetScalar() {
        storage.scalar = Optional.empty();
    }

    /** {@return its only element, if the host wrote it last; the device is not asked} */
    Optional<Float> scalar() {
        return storage.scalar;
    }

    /** {@return bytes that its memory takes, padding included} */
    long bytes() {
        return storage.bytes;
    }

    /** {@return bytes from one row of the matrix view to the next} */
    long pitchBytes() {
        return pitchBytes;
    }

    /** {@return rows of the matrix view} */
    long rows() {
        return shape.rows();
    }

    /** {@return columns of the matrix view} */
    long cols() {
        return shape.cols();
    }

    /** {@return number of elements} */
    long elements() {
        return shape.elements();
    }

    /** {@return what the memory is for} */
    MemoryTag tag() {
        return storage.tag;
    }

    /** Counts the memory under another tag, for all its handles. */
    void retag(MemoryTag tag) {
        requireOpen();
        storage.memory.retag(storage, tag);
    }

    private void requireOpen() {
        if (!open) {
            throw new IllegalStateException(label + " is used after it was closed");
        }
        storage.memory.requireOpen(label);
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
    public CudaTensor share() {
        requireOpen();
        storage.retain();
        return new CudaTensor(label, dtype, shape, pitchBytes, storage);
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
        return label + " " + dtype.label() + shape;
    }
}
