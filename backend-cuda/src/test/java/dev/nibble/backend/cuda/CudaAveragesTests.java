package dev.nibble.backend.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.reference.ReferenceBackendProvider;
import dev.nibble.spi.Backend;
import dev.nibble.spi.BackendOptions;
import dev.nibble.spi.Control;
import dev.nibble.spi.OptimizerOps;
import dev.nibble.spi.Sgd;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import dev.nibble.testkit.data.Bits;
import dev.nibble.testkit.data.Matrix;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Averages of weights in steps that the device repeats as graphs. */
class CudaAveragesTests {
    private static final int STEPS = 60;
    private static final int TENSORS = 150; // more than a launch takes
    private static final int SKIPPED = 31;
    private static final CudaSettings GRAPHS = new CudaSettings(true, true, false, false, true, "auto");
    private static final CudaSettings EAGER = new CudaSettings(true, false, false, false, false, "auto");

    /** {@return the averages, one behind the other, after steps of gradient descent, of which one is skipped if that is wanted} */
    private static float[] train(Backend backend, boolean skips) {
        List<Tensor> weights = new ArrayList<>();
        List<Tensor> averages = new ArrayList<>();
        List<Tensor> gradients = new ArrayList<>();
        for (int i = 0; i < TENSORS; i++) {
            int length = i % 10 == 9 ? 4097 + i : 1 + i;
            weights.add(tensor(
                    backend, "weight " + i, Matrix.normal(i, 1, length, 1).values()));
            averages.add(tensor(
                    backend, "average " + i, Matrix.normal(i, 1, length, 1).values()));
            gradients.add(tensor(
                    backend,
                    "gradient " + i,
                    Matrix.normal(1000 + i, 1, length, 1).values()));
        }
        Tensor control = tensor(backend, "control", new float[Control.count()]);
        Tensor infinite = tensor(backend, "infinite", new float[] {Float.POSITIVE_INFINITY});
        OptimizerOps optimizer = backend.optimizer();
        for (int step = 0; step < STEPS; step++) {
            try (StepScope scope = backend.beginStep(StepContext.train(step, 0.01f))) {
                optimizer.control(scope, skips && step == SKIPPED ? List.of(infinite) : gradients, 1e9f, control);
                for (int i = 0; i < TENSORS; i++) {
                    optimizer.update(
                            scope, new Sgd(0, false, 0), true, weights.get(i), gradients.get(i), List.of(), control);
                }
                optimizer.moveAverages(scope, averages, weights, 0.9f, control);
            }
        }
        float[] all = new float[0]; // [elements of all]
        for (Tensor average : averages) {
            float[] values = backend.readFloats(average);
            float[] longer = Arrays.copyOf(all, all.length + values.length);
            System.arraycopy(values, 0, longer, all.length, values.length);
            all = longer;
        }
        weights.forEach(Tensor::close);
        averages.forEach(Tensor::close);
        gradients.forEach(Tensor::close);
        control.close();
        infinite.close();
        return all;
    }

    private static Tensor tensor(Backend backend, String name, float[] values) {
        Tensor tensor = backend.allocate(name, DType.FP32, Shape.of(values.length), MemoryTag.OPTIMIZER);
        backend.write(tensor, values);
        return tensor;
    }

    private static float[] plain(boolean skips) {
        try (Backend backend = new ReferenceBackendProvider().open(new BackendOptions(0, 1, false))) {
            return train(backend, skips);
        }
    }

    @Test
    void replayedStepsHaveTheBitsOfEagerOnesAndOfThePlainCode() {
        float[] expected = plain(true);
        try (CudaBackend backend = Gpu.open(EAGER)) {
            Bits.assertSame("eager", expected, train(backend, true));
            assertEquals(0, backend.runtime().stream().graphLaunches());
        }
        try (CudaBackend backend = Gpu.open(GRAPHS)) {
            Bits.assertSame("replayed", expected, train(backend, true));
            long graphs = backend.runtime().stream().graphLaunches();
            assertTrue(graphs > STEPS, graphs + " graphs were launched");
        }
    }

    /** The control of the comparison: a step that is not skipped is seen. */
    @Test
    void aSkippedStepIsSeen() {
        Gpu.open(EAGER).close();
        assertFalse(Arrays.equals(plain(true), plain(false)));
    }
}
