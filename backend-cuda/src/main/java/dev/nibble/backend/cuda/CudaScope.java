package dev.nibble.backend.cuda;

import dev.nibble.spi.Operand;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;

/** A step on the device. */
final class CudaScope implements StepScope {
    private final StepContext context;
    private final CudaMemory memory;
    private final Runnable onClose;
    private final List<CudaTensor> tensors = new ArrayList<>();
    private boolean open = true;

    CudaScope(StepContext context, CudaMemory memory, Runnable onClose) {
        this.context = context;
        this.memory = memory;
        this.onClose = onClose;
    }

    /**
     * {@return the scope as one of this backend}
     *
     * @throws IllegalArgumentException if it belongs to another
     */
    static CudaScope of(StepScope scope) {
        if (scope.own() instanceof CudaScope cuda) {
            return cuda;
        }
        throw new IllegalArgumentException("the step belongs to another backend");
    }

    @Override
    public StepContext context() {
        return context;
    }

    @Override
    public CudaTensor allocate(String label, DType dtype, Shape shape) {
        requireOpen(label);
        CudaTensor tensor = memory.allocate(label, dtype, shape, MemoryTag.SCRATCH);
        tensors.add(tensor);
        return tensor;
    }

    /**
     * {@return memory for the codes of a plane, padded as {@link CudaPlane} tells; its contents, padding included, are
     * undefined}
     */
    CudaTensor allocateCodes(String label, DType format, long rows, long k) {
        requireOpen(label);
        CudaTensor tensor = memory.allocateCodes(label, format, rows, k, MemoryTag.SCRATCH);
        tensors.add(tensor);
        return tensor;
    }

    private void requireOpen(String label) {
        if (!open) {
            throw new IllegalStateException(label + " is allocated in a step that has ended");
        }
    }

    @Override
    public void save(Tensor tensor) {
        CudaTensor.of(tensor).retag(MemoryTag.CONTEXT);
    }

    @Override
    public void save(Operand operand) {
        CudaOperand.of(operand).retag(MemoryTag.CONTEXT);
    }

    @Override
    public void close() {
        if (open) {
            open = false;
            tensors.forEach(CudaTensor::close);
            onClose.run();
        }
    }
}
