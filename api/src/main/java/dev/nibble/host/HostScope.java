package dev.nibble.host;

import dev.nibble.spi.Operand;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;

/** A step of a host backend. */
public final class HostScope implements StepScope {
    private final StepContext context;
    private final HostMemory memory;
    private final Runnable onClose;
    private final List<HostTensor> tensors = new ArrayList<>();
    private boolean open = true;

    HostScope(StepContext context, HostMemory memory, Runnable onClose) {
        this.context = context;
        this.memory = memory;
        this.onClose = onClose;
    }

    @Override
    public StepContext context() {
        return context;
    }

    @Override
    public HostTensor allocate(String label, DType dtype, Shape shape) {
        if (!open) {
            throw new IllegalStateException(label + " is allocated in a step that has ended");
        }
        HostTensor tensor = memory.allocate(label, dtype, shape, MemoryTag.SCRATCH);
        tensors.add(tensor);
        return tensor;
    }

    @Override
    public void save(Tensor tensor) {
        HostTensor.of(tensor).retag(MemoryTag.CONTEXT);
    }

    @Override
    public void save(Operand operand) {
        HostOperand.of(operand).retag(MemoryTag.CONTEXT);
    }

    @Override
    public void close() {
        if (open) {
            open = false;
            tensors.forEach(HostTensor::close);
            onClose.run();
        }
    }
}
