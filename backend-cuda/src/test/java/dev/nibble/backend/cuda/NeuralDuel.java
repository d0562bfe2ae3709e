package dev.nibble.backend.cuda;

import dev.nibble.spi.Backend;
import dev.nibble.spi.NeuralOps;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.Tensor;
import dev.nibble.testkit.data.Bits;
import dev.nibble.testkit.run.Rig;
import java.util.List;
import java.util.function.Function;

/** The plain code and the device, side by side: the same operation on the same inputs, compared bit for bit. */
final class NeuralDuel implements AutoCloseable {
    private final Rig plain = Rig.reference();
    private final Rig device = new Rig(Gpu.open());

    /** An operation of a step; gives what it makes or changes. */
    @FunctionalInterface
    interface Operation {
        List<Tensor> apply(Backend backend, StepScope scope, List<Tensor> inputs);
    }

    /** The same with the neural operations. */
    @FunctionalInterface
    interface Neural {
        List<Tensor> apply(NeuralOps neural, StepScope scope, List<Tensor> inputs);
    }

    private static List<float[]> run(Rig rig, Function<Rig, List<Tensor>> inputs, Operation operation) {
        List<Tensor> tensors = inputs.apply(rig);
        try {
            return rig.results(StepContext.train(2, 0.01f), scope -> operation.apply(rig.backend(), scope, tensors));
        } finally {
            tensors.forEach(Tensor::close);
        }
    }

    /** {@return the bits of the device; fails unless they are those of the plain code} */
    List<float[]> assertSame(String what, Function<Rig, List<Tensor>> inputs, Neural operation) {
        return assertSameOf(
                what, inputs, (backend, scope, tensors) -> operation.apply(backend.neural(), scope, tensors));
    }

    /** {@return the bits of the device; fails unless they are those of the plain code} */
    List<float[]> assertSameOf(String what, Function<Rig, List<Tensor>> inputs, Operation operation) {
        List<float[]> expected = run(plain, inputs, operation);
        List<float[]> actual = run(device, inputs, operation);
        for (int i = 0; i < expected.size(); i++) {
            Bits.assertSame(what + " result " + i, expected.get(i), actual.get(i));
        }
        return actual;
    }

    /** Fails unless the device gives the same bits each time. */
    void assertRepeats(String what, int times, Function<Rig, List<Tensor>> inputs, Neural operation) {
        Operation any = (backend, scope, tensors) -> operation.apply(backend.neural(), scope, tensors);
        List<float[]> first = run(device, inputs, any);
        for (int time = 1; time < times; time++) {
            List<float[]> again = run(device, inputs, any);
            for (int i = 0; i < first.size(); i++) {
                Bits.assertSame(what + " run " + time + " result " + i, first.get(i), again.get(i));
            }
        }
    }

    /** {@return the device's side} */
    Rig device() {
        return device;
    }

    @Override
    public void close() {
        plain.close();
        device.close();
    }
}
