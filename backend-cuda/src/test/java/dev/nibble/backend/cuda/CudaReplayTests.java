package dev.nibble.backend.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.quant.Contraction;
import dev.nibble.quant.Granularity;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.reference.ReferenceBackendProvider;
import dev.nibble.spi.AdamW;
import dev.nibble.spi.Backend;
import dev.nibble.spi.BackendOptions;
import dev.nibble.spi.Control;
import dev.nibble.spi.DeviceState;
import dev.nibble.spi.Quantized;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.state.StateInput;
import dev.nibble.state.StateProgram;
import dev.nibble.state.StateVector;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Role;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import dev.nibble.testkit.data.Bits;
import dev.nibble.testkit.data.Matrix;
import dev.nibble.testkit.data.SpecTable;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;

/** What must change from replay to replay of the same graph does: draws, the learning rate, and what a layer remembers. */
class CudaReplayTests {
    private static final long SEED = 42; // of Gpu.open
    private static final int STEPS = 12;
    private static final int LAYERS = 4; // so that the launches of a step are enough for a graph
    private static final Matrix X = Matrix.normal(1, 40, 130, 1);
    private static final QuantizeSpec SPEC = QuantizeSpec.both(
            Role.GRAD_OUTPUT, List.of(SpecTable.int8(new Granularity.PerTensor(), Rounding.STOCHASTIC)));

    private static float learningRate(int step) {
        return 0.1f / (1 + step);
    }

    /** Values after each step, of each layer. */
    private record Seen(List<float[]> drawn, List<float[]> weights, List<float[]> histories) {}

    private record Layer(Tensor x, Tensor weight, Tensor first, Tensor second, DeviceState state)
            implements AutoCloseable {
        static Layer of(Backend backend) {
            Shape shape = Shape.of(X.rows(), X.cols());
            Tensor x = backend.allocate("x", DType.FP32, shape, MemoryTag.PARAMETER);
            Tensor weight = backend.allocate("weight", DType.FP32, shape, MemoryTag.PARAMETER);
            backend.write(x, X.values());
            backend.write(weight, X.values());
            return new Layer(
                    x,
                    weight,
                    backend.allocate("first", DType.FP32, shape, MemoryTag.OPTIMIZER),
                    backend.allocate("second", DType.FP32, shape, MemoryTag.OPTIMIZER),
                    backend.allocateState(List.of(
                            new StateVector("history", List.of(1f, 2f, 3f)), StateVector.scalar("threshold", 1))));
        }

        @Override
        public void close() {
            List.of(x, weight, first, second).forEach(Tensor::close);
            state.close();
        }
    }

    private static StateProgram program() {
        StateProgram.Builder b = StateProgram.builder();
        var threshold = b.multiply(b.state("threshold"), b.constant(1.25f));
        return b.set("threshold", threshold)
                .set("history", b.roll(b.state("history"), threshold))
                .build();
    }

    private static Seen run(Backend backend) {
        Seen seen = new Seen(new ArrayList<>(), new ArrayList<>(), new ArrayList<>());
        List<Layer> layers = new ArrayList<>();
        for (int i = 0; i < LAYERS; i++) {
            layers.add(Layer.of(backend));
        }
        try (Tensor control = backend.allocate("control", DType.FP32, Shape.of(Control.count()), MemoryTag.STATE)) {
            for (int step = 0; step < STEPS; step++) {
                List<Tensor> drawn = new ArrayList<>();
                try (StepScope scope = backend.beginStep(StepContext.train(step, learningRate(step)))) {
                    List<Tensor> gradients = new ArrayList<>();
                    for (int i = 0; i < LAYERS; i++) {
                        Layer layer = layers.get(i);
                        Site site = new Site("layer " + i, i);
                        try (Quantized codes =
                                backend.quantization().quantize(scope, SPEC, site, layer.x(), layer.state())) {
                            gradients.add(backend.quantization().dequantize(scope, codes.operand(Contraction.COLUMNS)));
                        }
                        backend.quantization().run(scope, program(), layer.state(), Map.<StateInput, Tensor>of());
                    }
                    backend.optimizer().control(scope, gradients, 1, control);
                    for (int i = 0; i < LAYERS; i++) {
                        Layer layer = layers.get(i);
                        backend.optimizer()
                                .adamW(
                                        scope,
                                        new AdamW(0.9f, 0.95f, 1e-8f, 0.1f),
                                        true,
                                        layer.weight(),
                                        gradients.get(i),
                                        layer.first(),
                                        layer.second(),
                                        control);
                        drawn.add(gradients.get(i).share());
                    }
                }
                for (int i = 0; i < LAYERS; i++) {
                    Layer layer = layers.get(i);
                    seen.drawn().add(backend.readFloats(drawn.get(i)));
                    seen.weights().add(backend.readFloats(layer.weight()));
                    seen.histories().add(backend.readFloats(layer.state().get("history")));
                    drawn.get(i).close();
                }
            }
        } finally {
            layers.forEach(Layer::close);
        }
        return seen;
    }

    private static void assertSame(String what, List<float[]> expected, List<float[]> actual) {
        assertEquals(STEPS * LAYERS, actual.size());
        for (int i = 0; i < expected.size(); i++) {
            Bits.assertSame(
                    "%s of layer %d after step %d".formatted(what, i % LAYERS, i / LAYERS),
                    expected.get(i),
                    actual.get(i));
        }
    }

    private static Set<List<Float>> different(List<float[]> values) {
        Set<List<Float>> set = new HashSet<>();
        for (float[] each : values) {
            List<Float> list = new ArrayList<>();
            for (float value : each) {
                list.add(value);
            }
            set.add(list);
        }
        return set;
    }

    @Test
    void drawsAndRatesAndHistoriesOfReplaysAreThoseOfThePlainCode() {
        Gpu.require();
        Seen expected;
        try (Backend plain = new ReferenceBackendProvider().open(BackendOptions.withSeed(SEED))) {
            expected = run(plain);
        }
        for (boolean poison : new boolean[] {false, true}) {
            try (CudaBackend backend = Gpu.open(new CudaSettings(true, poison, false, false, true, "auto"))) {
                Seen actual = run(backend);
                assertTrue(
                        backend.runtime().stream().graphLaunches() >= STEPS - 4,
                        backend.runtime().stream().graphLaunches() + " graphs were launched");
                assertSame("draws", expected.drawn(), actual.drawn());
                assertSame("weights", expected.weights(), actual.weights());
                assertSame("history", expected.histories(), actual.histories());
            }
        }
        assertEquals(STEPS * LAYERS, different(expected.drawn()).size(), "every draw is another");
        assertEquals(STEPS, different(expected.histories()).size(), "the history of a step, the same in each layer");
        assertNotEquals(learningRate(0), learningRate(1));
    }
}
