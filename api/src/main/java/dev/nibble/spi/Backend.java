package dev.nibble.spi;

import dev.nibble.report.ExecutionLog;
import dev.nibble.state.StateVector;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.List;

/**
 * A device that computes. It and its tensors belong to one thread at a time; several backends coexist. Operations enqueue
 * in order and may return early; only reading and {@link #close} wait.
 */
public interface Backend extends AutoCloseable {
    /** {@return its provider's name} */
    String name();

    /** {@return the device, in words} */
    String description();

    /**
     * {@return new memory, all zero, owned by the caller}
     *
     * @param label name used in messages
     * @param dtype element type
     * @param shape extents
     * @param tag what it is for
     */
    Tensor allocate(String label, DType dtype, Shape shape, MemoryTag tag);

    /** {@return new state vectors with their first values, owned by the caller} */
    DeviceState allocateState(List<StateVector> vectors);

    /** {@return whether tensors have values} Where they are only counted, what would be written need not be made. */
    default boolean hasValues() {
        return true;
    }

    /** Copies values to an FP32 tensor; enqueued like any operation. */
    void write(Tensor tensor, float[] values);

    /** Copies values to an INT32 tensor; enqueued like any operation. */
    void write(Tensor tensor, int[] values);

    /**
     * {@return the values of an FP32 tensor}
     *
     * @throws IllegalStateException inside a step: it would wait for the device
     */
    float[] readFloats(Tensor tensor);

    /**
     * {@return the codes of a plane, in the bits they are stored in, row-major [rows, k], without padding; bytes of an
     * element in little-endian order; a 4-bit code in a byte of its own, INT4 sign-extended}
     *
     * @throws IllegalStateException inside a step
     */
    byte[] readCodes(Operand operand, int plane);

    /**
     * {@return the scales of a plane, [kGroups][rowGroups]}
     *
     * @throws IllegalStateException inside a step
     */
    float[] readScales(Operand operand, int plane);

    /**
     * Opens a step. At most one is open at a time.
     *
     * @throws IllegalStateException if one is open
     */
    StepScope beginStep(StepContext context);

    /**
     * {@return the operands that were not finite since the last call, in the order they were met}
     *
     * @throws IllegalStateException inside a step
     */
    List<NonFinite> takeNonFinite();

    /** {@return quantization} */
    QuantizeOps quantization();

    /** {@return matrix products} */
    GemmBackend gemm();

    /** {@return operations between the products} */
    NeuralOps neural();

    /** {@return what convolutional networks need between the products} */
    ConvolutionOps convolution();

    /** {@return packing of tensors that are kept, not multiplied} */
    CodecOps codec();

    /** {@return weight updates} */
    OptimizerOps optimizer();

    /** {@return what ran} */
    ExecutionLog log();

    /** {@return how many bytes its tensors take} By default those of a host. */
    default MemoryLayout memoryLayout() {
        return MemoryLayout.HOST;
    }

    /** {@return what the allocator holds} */
    MemoryUse memory();

    /** Waits, and frees everything. */
    @Override
    void close();
}
