package dev.nibble.reference;

import dev.nibble.host.HostRuntime;
import dev.nibble.host.HostTensor;
import dev.nibble.spi.Operand;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.Arrays;

/** A step without a backend, for operations alone; fills new memory with NaN, so that what is not written shows. */
record TestScope(HostRuntime runtime, StepContext context) implements StepScope {
    static TestScope withLearningRate(float learningRate) {
        return new TestScope(new HostRuntime(1, false), StepContext.train(0, learningRate));
    }

    static TestScope create() {
        return withLearningRate(0f);
    }

    @Override
    public HostTensor allocate(String label, DType dtype, Shape shape) {
        HostTensor tensor = runtime.memory().allocate(label, dtype, shape, MemoryTag.SCRATCH);
        if (dtype == DType.FP32) {
            Arrays.fill(HostTensor.floats(tensor), Float.NaN);
        }
        return tensor;
    }

    /** {@return a tensor of FP32 values} */
    HostTensor floats(String label, float[] values, long... dims) {
        HostTensor tensor = allocate(label, DType.FP32, Shape.of(dims));
        System.arraycopy(values, 0, HostTensor.floats(tensor), 0, values.length);
        return tensor;
    }

    /** {@return a tensor of INT32 values} */
    HostTensor ints(String label, int... values) {
        HostTensor tensor = allocate(label, DType.INT32, Shape.of(values.length));
        System.arraycopy(values, 0, HostTensor.ints(tensor), 0, values.length);
        return tensor;
    }

    @Override
    public void save(Tensor tensor) {
        throw new IllegalStateException("no operation saves by itself");
    }

    @Override
    public void save(Operand operand) {
        throw new IllegalStateException("no operation saves by itself");
    }

    @Override
    public void close() {
        runtime.memory().trim();
    }
}
