package dev.nibble.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.report.ExecutionRow;
import dev.nibble.spi.Plugins;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Every quantizer that is found trains a small model in its own format. */
class QuantizerTrainingTests {
    static List<String> quantizers() {
        return Plugins.quantizers().names();
    }

    @ParameterizedTest
    @MethodSource("quantizers")
    void lossFallsAndEveryProjectionRunsInItsFormat(String quantizer) {
        RunConfig config = RunFixture.tiny()
                .withQuantizer(QuantizerChoice.of(quantizer))
                .with("model.width", "64")
                .with("model.hidden", "96")
                .with("model.layers", "2")
                .with("data.sequence", "32")
                .with("train.learningRate", "0.01")
                .withBackend("cpu-portable") // a strict run on cpu needs the native library, which not every build has
                .withStrict(true)
                .withSteps(30);
        Runs runs = Runs.create();
        RunResult result = runs.train(config, RunListener.SILENT);
        assertEquals(RunResult.Status.COMPLETED, result.status(), result.message());
        double first = result.curve().getFirst().loss();
        // knowing only how often each byte occurs gives 3.1 nats; guessing gives ln 256 = 5.5
        assertTrue(result.finalTrainLoss() < first - 1.5, quantizer + ": " + first + " to " + result.finalTrainLoss());
        assertTrue(result.finalValidationLoss() < first - 1.5, quantizer + ": " + result.finalValidationLoss());
        for (String layer : runs.layerNames(config)) {
            List<ExecutionRow> rows = result.execution().stream()
                    .filter(row -> row.layer().equals(layer))
                    .toList();
            Set<String> products = rows.stream().map(ExecutionRow::product).collect(Collectors.toSet());
            assertEquals(Set.of("output", "gradInput", "gradWeight"), products, layer);
            for (ExecutionRow row : rows) {
                assertFalse(row.differs(), row.toString());
                boolean wide = row.storedFormat().contains("fp32");
                assertEquals(layer.equals("head") || quantizer.equals("fp32"), wide, row.toString());
            }
        }
    }
}
