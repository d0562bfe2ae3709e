package dev.nibble.conformance;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;
import static org.junit.jupiter.api.DynamicTest.dynamicTest;

import dev.nibble.models.QuantizerChoice;
import dev.nibble.models.RunConfig;
import dev.nibble.models.RunListener;
import dev.nibble.models.RunResult;
import dev.nibble.models.Runs;
import dev.nibble.spi.Availability;
import dev.nibble.spi.Plugins;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

/**
 * After 200 steps of the preset text, with a small model, the loss on the GPU is as near to the CPU's as the losses of three
 * seeds on the CPU are to each other. The CPU's are computed here, a run a processor.
 */
class LossOnCudaTests {
    private static final int STEPS = 200;
    private static final int SEEDS = 3;

    private static RunConfig config(String quantizer, String backend, int seed) {
        return RunConfig.of("text")
                .withQuantizer(QuantizerChoice.parse(quantizer))
                .withBackend(backend)
                .withSeed(seed)
                .withThreads(1)
                .withSteps(STEPS)
                .with("model.width", "64")
                .with("model.heads", "2")
                .with("model.hidden", "128")
                .with("model.layers", "2")
                .with("data.batch", "4")
                .with("data.sequence", "32")
                .with("data.validationBatches", "4")
                .with("train.evaluateEvery", "0");
    }

    private static double loss(String quantizer, String backend, int seed) {
        RunResult result = Runs.create().train(config(quantizer, backend, seed), RunListener.SILENT);
        assertEquals(RunResult.Status.COMPLETED, result.status(), result::message);
        assertEquals(STEPS, result.steps());
        assertEquals(0, result.skippedSteps());
        return result.finalTrainLoss();
    }

    private static void assertAsNear(String quantizer, List<Future<Double>> cpu) throws Exception {
        double gpu = loss(quantizer, "cuda", 1);
        List<Double> losses = new ArrayList<>();
        for (Future<Double> seed : cpu) {
            losses.add(seed.get());
        }
        double spread = losses.stream().mapToDouble(Double::doubleValue).max().orElseThrow()
                - losses.stream().mapToDouble(Double::doubleValue).min().orElseThrow();
        assertTrue(spread > 0, "seeds give different losses: " + losses);
        assertTrue(
                Math.abs(gpu - losses.getFirst()) < spread,
                "the loss is " + gpu + " on the GPU, and " + losses + " on the CPU");
    }

    @TestFactory
    Stream<DynamicTest> lossesAreThoseOfTheCpuWithinTheSpreadOfItsSeeds() {
        Availability availability = Plugins.backends().get("cuda").availability();
        assumeTrue(availability.available(), availability.reason());
        ExecutorService processors =
                Executors.newFixedThreadPool(Math.max(1, Runtime.getRuntime().availableProcessors() - 2));
        List<DynamicTest> tests = new ArrayList<>();
        for (String quantizer : Plugins.quantizers().names()) {
            List<Future<Double>> cpu = IntStream.rangeClosed(1, SEEDS)
                    .mapToObj(seed -> processors.submit(() -> loss(quantizer, "cpu-portable", seed)))
                    .toList();
            tests.add(dynamicTest(quantizer, () -> assertAsNear(quantizer, cpu)));
        }
        processors.shutdown();
        return tests.stream();
    }
}
