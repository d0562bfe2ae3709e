package dev.nibble.conformance;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.nibble.models.RunConfig;
import dev.nibble.models.RunListener;
import dev.nibble.models.RunResult;
import dev.nibble.models.Runs;
import dev.nibble.spi.Availability;
import dev.nibble.spi.Plugins;
import java.util.List;
import org.junit.jupiter.api.Test;

/** A run that needs more memory than the GPU has. A class of its own: for a moment it holds nearly all of it. */
class CudaOutOfMemoryTests {
    @Test
    void aModelThatIsTooLargeIsToldAndASmallerOneTrainsInTheSameProcess() {
        Availability availability = Plugins.backends().get("cuda").availability();
        assumeTrue(availability.available(), availability.reason());
        RunConfig large = RunConfig.of("text")
                .withBackend("cuda")
                .withSteps(1)
                .with("model.width", "1024")
                .with("model.layers", "8")
                .with("data.batch", "4096")
                .with("data.sequence", "512")
                .with("data.validationBatches", "1");
        Runs runs = Runs.create();
        RunResult failed = runs.train(large, RunListener.SILENT);
        assertEquals(RunResult.Status.FAILED, failed.status());
        for (String part : List.of(" needs ", " MiB, but NVIDIA", " MiB free of ", "lower the batch")) {
            assertTrue(failed.message().contains(part), failed.message());
        }
        RunConfig small = large.with("data.batch", "4").with("model.layers", "1");
        RunResult trained = runs.train(small, RunListener.SILENT);
        assertEquals(RunResult.Status.COMPLETED, trained.status(), trained::message);
    }
}
