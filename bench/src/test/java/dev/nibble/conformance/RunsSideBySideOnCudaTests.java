package dev.nibble.conformance;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.nibble.models.QuantizerChoice;
import dev.nibble.models.RunConfig;
import dev.nibble.models.RunListener;
import dev.nibble.models.RunResult;
import dev.nibble.models.Runs;
import dev.nibble.models.StepRecord;
import dev.nibble.spi.Availability;
import dev.nibble.spi.Plugins;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.Test;

/** Runs of one process on one GPU, each with a backend of its own: side by side they have the bits that they have alone. */
class RunsSideBySideOnCudaTests {
    private static final int STEPS = 30;

    private static List<Double> losses(String quantizer, int seed) {
        RunConfig config = RunConfig.of("text")
                .withQuantizer(QuantizerChoice.parse(quantizer))
                .withBackend("cuda")
                .withSeed(seed)
                .withThreads(1)
                .withSteps(STEPS)
                .with("model.layers", "2")
                .with("model.width", "128")
                .with("model.hidden", "256");
        RunResult result = Runs.create().train(config, RunListener.SILENT);
        assertEquals(RunResult.Status.COMPLETED, result.status(), result::message);
        List<Double> losses = new ArrayList<>();
        result.curve().stream().map(StepRecord::loss).forEach(losses::add);
        losses.add(result.finalValidationLoss());
        return losses;
    }

    @Test
    void runsSideBySideHaveTheBitsOfRunsAlone() throws Exception {
        Availability availability = Plugins.backends().get("cuda").availability();
        assumeTrue(availability.available(), availability.reason());
        List<Callable<List<Double>>> runs = new ArrayList<>();
        for (int seed = 1; seed <= 2; seed++) {
            int same = seed;
            for (String quantizer : List.of("fp32", "fp8", "int8-fallback", "luq", "int4")) {
                runs.add(() -> losses(quantizer, same));
            }
        }
        List<List<Double>> alone = new ArrayList<>();
        for (Callable<List<Double>> run : runs) {
            alone.add(run.call());
        }
        try (ExecutorService pool = Executors.newFixedThreadPool(runs.size())) {
            List<Future<List<Double>>> together = pool.invokeAll(runs);
            for (int i = 0; i < runs.size(); i++) {
                assertEquals(alone.get(i), together.get(i).get(), "run " + i);
            }
        }
    }
}
