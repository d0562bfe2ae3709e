package dev.nibble.backend.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.spi.OptionValues;
import dev.nibble.testkit.data.Bits;
import dev.nibble.testkit.run.Batch;
import dev.nibble.testkit.run.OddQuantizer;
import dev.nibble.testkit.run.TwoLayerNet;
import dev.nibble.testkit.run.TwoLayerNet.Activation;
import dev.nibble.testkit.run.TwoLayerNet.Sizes;
import dev.nibble.testkit.run.TwoLayerNet.Snapshot;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** Steps whose launches repeat go to the device as graphs, and give the bits of steps that do not. */
class LaunchTapeTests {
    private static final Sizes SIZES = new Sizes(48, 40, 8);
    private static final int STEPS = 200;
    private static final CudaSettings GRAPHS = new CudaSettings(true, false, false, false, true, "auto");
    private static final CudaSettings POISONED = new CudaSettings(true, true, false, false, true, "auto");
    private static final CudaSettings EAGER = new CudaSettings(true, false, false, false, false, "auto");

    private record Trained(float[] losses, Snapshot end, long graphs) {}

    /** Two shapes take turns at the same addresses; a step has two micro-batches. */
    private static Trained train(CudaSettings settings) {
        OddQuantizer odd = new OddQuantizer();
        OptionValues none = OptionValues.of(odd.name(), odd.options(), Map.of());
        float[] losses = new float[STEPS];
        try (CudaBackend backend = Gpu.open(settings);
                TwoLayerNet net = new TwoLayerNet(backend, odd.create(none), Activation.SWIGLU, SIZES, 3)) {
            for (int step = 0; step < STEPS; step++) {
                int tokens = step % 3 == 0 ? 61 : 130;
                losses[step] = net.train(
                        step,
                        List.of(
                                Batch.learnable(step, tokens, SIZES.in(), SIZES.classes()),
                                Batch.learnable(step + 1000, tokens, SIZES.in(), SIZES.classes())));
            }
            return new Trained(
                    losses, net.snapshot(), backend.runtime().stream().graphLaunches());
        }
    }

    private static void assertSame(Trained expected, Trained actual) {
        Bits.assertSame("losses", expected.losses(), actual.losses());
        expected.end()
                .values()
                .forEach((name, values) ->
                        Bits.assertSame(name, values, actual.end().values().get(name)));
    }

    @Test
    void replayedStepsEqualEagerOnes() {
        Trained eager = train(EAGER);
        assertEquals(0, eager.graphs());
        for (CudaSettings settings : List.of(GRAPHS, POISONED)) {
            Trained replayed = train(settings);
            assertTrue(replayed.graphs() > STEPS, replayed.graphs() + " graphs were launched");
            assertSame(eager, replayed);
        }
    }

    /** The control of the comparison: another seed of the data is seen. */
    @Test
    void lossesDifferFromStepToStep() {
        float[] losses = train(GRAPHS).losses();
        for (int step = 1; step < STEPS; step++) {
            assertTrue(losses[step] != losses[step - 1], "steps " + (step - 1) + " and " + step + " have equal losses");
        }
    }
}
