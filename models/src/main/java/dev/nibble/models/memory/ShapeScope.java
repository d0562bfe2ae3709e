package dev.nibble.models.memory;

import dev.nibble.spi.MemoryLayout;
import dev.nibble.spi.Operand;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;

/** A step in which nothing is computed. */
final class ShapeScope implements StepScope {
    private final StepContext context;
    private final ShapeMemory memory;
    private final List<ShapeTensor> tensors = new ArrayList<>();

    ShapeScope(StepContext context, ShapeMemory memory) {
        this.context = context;
        this.memory = memory;
    }

    @Override
    public StepContext context() {
        return context;
    }

    @Override
    public ShapeTensor allocate(String label, DType dtype, Shape shape) {
        return passing(memory.allocate(label, dtype, shape, MemoryTag.SCRATCH));
    }

    ShapeTensor allocateGroups(String label, DType dtype, Shape shape) {
        return passing(memory.allocateGroups(label, dtype, shape));
    }

    ShapeTensor allocateCodes(String label, DType dtype, Shape shape) {
        return passing(memory.allocateCodes(label, dtype, shape));
    }

    MemoryLayout layout() {
        return memory.layout();
    }

    static ShapeScope of(StepScope scope) {
        if (scope.own() instanceof ShapeScope own) {
            return own;
        }
        throw new IllegalArgumentException("the step belongs to another backend");
    }

    private ShapeTensor passing(ShapeTensor tensor) {
        tensors.add(tensor);
        return tensor;
    }

    @Override
    public void save(Tensor tensor) {
        ShapeTensor.of(tensor).retag(MemoryTag.CONTEXT);
    }

    @Override
    public void save(Operand operand) {
        ShapeOperand.of(operand).retag(MemoryTag.CONTEXT);
    }

    @Override
    public void close() {
        tensors.forEach(ShapeTensor::close);
        tensors.clear();
    }
}
