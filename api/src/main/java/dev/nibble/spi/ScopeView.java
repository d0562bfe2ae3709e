package dev.nibble.spi;

import dev.nibble.tensor.DType;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;

/** A step, seen in another mode. */
record ScopeView(StepScope step, StepContext context) implements StepScope {
    @Override
    public Tensor allocate(String label, DType dtype, Shape shape) {
        return step.allocate(label, dtype, shape);
    }

    @Override
    public void save(Tensor tensor) {
        step.save(tensor);
    }

    @Override
    public void save(Operand operand) {
        step.save(operand);
    }

    @Override
    public StepScope own() {
        return step.own();
    }

    @Override
    public void close() {
        // the step ends with the scope that was opened
    }
}
