package dev.nibble.backend.cpu;

import static org.junit.jupiter.api.Assertions.fail;

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
import java.util.SplittableRandom;

/** A step without a backend, for operations alone; fills new memory with NaN, so that what is not written shows. */
record TestScope(HostRuntime runtime, StepContext context) implements StepScope {
    static TestScope create() {
        return new TestScope(new HostRuntime(1, false), StepContext.train(0, 1e-2f));
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
    HostTensor floats(float[] values, long... dims) {
        HostTensor tensor = allocate("test", DType.FP32, Shape.of(dims));
        System.arraycopy(values, 0, HostTensor.floats(tensor), 0, values.length);
        return tensor;
    }

    /** {@return a tensor of normal numbers that the seed fixes} */
    HostTensor normal(long seed, long... dims) {
        SplittableRandom random = new SplittableRandom(seed);
        float[] x = new float[(int) Shape.of(dims).elements()]; // [elements]
        for (int i = 0; i < x.length; i++) {
            x[i] = (float) random.nextGaussian();
        }
        return floats(x, dims);
    }

    /** {@return a tensor of numbers in 0..limit-1 that the seed fixes} */
    HostTensor ints(long seed, int length, int limit) {
        HostTensor tensor = allocate("test", DType.INT32, Shape.of(length));
        int[] values = new SplittableRandom(seed).ints(length, 0, limit).toArray(); // [length]
        System.arraycopy(values, 0, HostTensor.ints(tensor), 0, length);
        return tensor;
    }

    /** Fails unless both arrays hold the same bits; all NaN count as one. */
    static void assertSameBits(String what, float[] expected, float[] actual) {
        int different = expected.length == actual.length ? 0 : Math.abs(expected.length - actual.length);
        int first = -1;
        for (int i = 0; i < Math.min(expected.length, actual.length); i++) {
            if (Float.floatToIntBits(expected[i]) != Float.floatToIntBits(actual[i])) {
                first = first < 0 ? i : first;
                different++;
            }
        }
        if (different > 0) {
            fail("%s: %d of %d differ, first [%d]: expected %s, but got %s"
                    .formatted(
                            what,
                            different,
                            expected.length,
                            first,
                            first < 0 ? "as many" : expected[first],
                            first < 0 ? actual.length : actual[first]));
        }
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
