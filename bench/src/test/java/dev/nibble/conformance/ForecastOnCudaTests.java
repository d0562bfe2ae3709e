package dev.nibble.conformance;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;
import static org.junit.jupiter.api.DynamicTest.dynamicTest;

import dev.nibble.models.QuantizerChoice;
import dev.nibble.models.RunConfig;
import dev.nibble.models.RunListener;
import dev.nibble.models.RunMemory;
import dev.nibble.models.RunResult;
import dev.nibble.models.Runs;
import dev.nibble.spi.Availability;
import dev.nibble.spi.Plugins;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

/** What a run is predicted to hold is what it holds on the GPU, each kind of memory and the peak, with every quantizer. */
class ForecastOnCudaTests {
    private static final double TOLERANCE = 0.05;
    private static final int STEPS = 3;

    private static final List<String> MORE = List.of(
            "int8-block:contextBits=10",
            "int8-fallback:block=32,residualInGradWeight=true",
            "int4:hadamard=none,sampling=none",
            "luq:samplesGradWeight=2,samplesGradInput=2",
            "fp8:scaling=1x128");

    private static RunConfig config(String quantizer) {
        return RunConfig.of("text")
                .withQuantizer(QuantizerChoice.parse(quantizer))
                .withBackend("cuda")
                .withSteps(STEPS)
                .with("model.width", "512")
                .with("model.heads", "8")
                .with("model.hidden", "1408")
                .with("model.layers", "4")
                .with("data.batch", "16")
                .with("data.sequence", "256")
                .with("data.validationBatches", "1");
    }

    private static RunMemory assertForeseen(String quantizer, RunConfig config) {
        RunResult result = Runs.create().train(config, RunListener.SILENT);
        assertEquals(RunResult.Status.COMPLETED, result.status(), result::message);
        RunMemory memory = result.memory().orElseThrow();
        for (RunMemory.Row row : memory.rows()) {
            long measured = row.measured().orElseThrow();
            if (row.name().equals("held")) {
                assertTrue(measured >= memory.peakBytes(), () -> quantizer + " holds less than its tensors: " + memory);
            } else {
                double predicted = row.predicted();
                assertEquals(predicted, (double) measured, TOLERANCE * measured, quantizer + ": " + row.name());
            }
        }
        return memory;
    }

    @TestFactory
    Stream<DynamicTest> everyQuantizerHoldsWhatIsPredicted() {
        Availability availability = Plugins.backends().get("cuda").availability();
        assumeTrue(availability.available(), availability.reason());
        return Stream.concat(Plugins.quantizers().names().stream(), MORE.stream())
                .map(quantizer -> dynamicTest(quantizer, () -> assertForeseen(quantizer, config(quantizer))));
    }

    /** 16384 x 256 logits all at once, and 4096 rows of them, in a model that is narrower than they are. */
    @Test
    void chunksOfLogitsLowerThePeak() {
        Availability availability = Plugins.backends().get("cuda").availability();
        assumeTrue(availability.available(), availability.reason());
        RunConfig whole = config("int8-fallback")
                .with("model.width", "32")
                .with("model.heads", "1")
                .with("model.hidden", "32")
                .with("model.layers", "1")
                .with("data.batch", "64");
        RunMemory before = assertForeseen("whole", whole);
        RunMemory after = assertForeseen("in chunks", whole.with("model.logitsElements", "1048576"));
        assertTrue(after.peakBytes() < 0.7 * before.peakBytes(), () -> after + " and " + before);
        assertTrue(after.forecast().peak() < 0.7 * before.forecast().peak(), () -> after + " and " + before);
    }
}
