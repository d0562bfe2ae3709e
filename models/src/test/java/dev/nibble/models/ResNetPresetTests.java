package dev.nibble.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.models.checkpoint.CheckpointFile;
import dev.nibble.models.data.IdxFiles;
import dev.nibble.models.safetensors.SafetensorsFile;
import dev.nibble.report.ExecutionRow;
import dev.nibble.spi.Plugins;
import java.io.IOException;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class ResNetPresetTests extends ResumeFixture {
    private static final int TEST_IMAGES = 130; // batches of 32, and one of 2

    @BeforeEach
    void writeImages() throws IOException {
        IdxFiles.writePatterns(folder, 500, TEST_IMAGES);
    }

    static List<String> quantizers() {
        return Plugins.quantizers().names();
    }

    private RunConfig tiny() {
        return RunConfig.of("resnet")
                .with("data.path", folder.toString())
                .with("data.classes", "4")
                .with("data.batch", "32")
                .with("model.width", "8")
                .with("model.blocks", "1")
                .with("train.learningRate", "0.01")
                .with("train.warmup", "2")
                .withSteps(STEPS);
    }

    /** Chance gives a quarter. The running averages need some tens of steps. */
    @ParameterizedTest
    @MethodSource("quantizers")
    void everyQuantizerLearnsInItsOwnFormat(String quantizer) {
        RunConfig config = tiny().withQuantizer(QuantizerChoice.of(quantizer))
                .withBackend("cpu-portable")
                .withStrict(true)
                .withSteps(50);
        RunResult result = runs.train(config, RunListener.SILENT);
        assertEquals(RunResult.Status.COMPLETED, result.status(), result.message());
        assertTrue(result.finalValidationAccuracy() > 0.8, quantizer + ": " + result.finalValidationAccuracy());
        for (ExecutionRow row : result.execution()) {
            boolean own = row.layer().equals("stem") || row.layer().equals("head");
            assertEquals(own || quantizer.equals("fp32"), row.storedFormat().contains("fp32"), row.toString());
        }
    }

    @Test
    void runningAveragesAreInCheckpointsAndResumed() {
        RunConfig config = tiny().withQuantizer(QuantizerChoice.of("int8-fallback"));
        assertEquals(
                RunResult.Status.COMPLETED, train("whole", config, Start.NEW).status());
        assertEquals(
                RunResult.Status.INTERRUPTED,
                train("broken", config, Start.NEW, 3).status());
        assertEquals(
                RunResult.Status.COMPLETED,
                train("broken", config, Start.RESUME).status());
        snapshot("broken").assertSameAs(snapshot("whole"));
        try (SafetensorsFile model =
                SafetensorsFile.open(checkpoint("broken", STEPS).file(CheckpointFile.MODEL))) {
            assertTrue(model.tensors().containsKey("stages.2.blocks.0.shortcut.norm.moments"));
        }
    }

    @Test
    void unknownBlockIsNamedWithTheKnownOnes() {
        IllegalArgumentException e =
                assertThrows(IllegalArgumentException.class, () -> runs.check(tiny().with("model.block", "basik")));
        assertTrue(e.getMessage().contains("setting model.block is 'basik'"), e.getMessage());
        assertTrue(e.getMessage().contains("bottleneck"), e.getMessage());
    }
}
