package dev.nibble.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class ClassifyPresetTests {
    private static final RunListener SILENT = new RunListener() {};

    /** Texts of one letter, which names their class: a model from scratch learns it in a few steps. */
    private static Path letters(Path folder) throws IOException {
        StringBuilder csv = new StringBuilder("text,label\n");
        for (int i = 0; i < 60; i++) {
            String letter = i * 7 % 3 == 0 ? "a" : "b";
            csv.append(letter.repeat(1 + i % 9)).append(",is ").append(letter).append('\n');
        }
        return Files.writeString(folder.resolve("letters.csv"), csv);
    }

    private static RunConfig config(String quantizer, Map<String, String> more) {
        RunConfig config = RunConfig.of("classify")
                .with("model.width", "32")
                .with("model.hidden", "48")
                .with("model.heads", "2")
                .with("data.sequence", "12")
                .with("data.batch", "8")
                .with("train.learningRate", "0.01")
                .with("train.warmup", "2")
                .withSteps(20)
                .withQuantizer(QuantizerChoice.of(quantizer));
        for (Map.Entry<String, String> setting : more.entrySet()) {
            config = config.with(setting.getKey(), setting.getValue());
        }
        return config;
    }

    @ParameterizedTest
    @ValueSource(strings = {"fp32", "int4", "luq", "int8-row", "int8-block", "int8-fallback", "fp8"})
    void everyQuantizerLearns(String quantizer, @TempDir Path folder) throws IOException {
        RunConfig config = config(quantizer, Map.of("data.path", letters(folder).toString()));
        RunResult result = Runs.create().train(config, SILENT);
        assertEquals(RunResult.Status.COMPLETED, result.status(), result.message());
        assertTrue(result.finalValidationLoss() < 0.3, quantizer + " ends at " + result.finalValidationLoss());
    }

    private static String refusal(Map<String, String> settings) {
        return assertThrows(RuntimeException.class, () -> Runs.create().train(config("fp32", settings), SILENT))
                .getMessage();
    }

    @Test
    void whatDoesNotFitIsRefusedByName(@TempDir Path folder) throws IOException {
        String letters = letters(folder).toString();
        assertTrue(refusal(Map.of("data.path", letters, "data.classes", "3"))
                .contains("data.classes is 3, but the texts have 2"));
        assertTrue(refusal(Map.of("data.path", folder.resolve("no.csv").toString()))
                .contains("does not exist"));
        assertTrue(refusal(Map.of("data.path", "mails.txt")).contains(".jsonl"));
        assertTrue(refusal(Map.of("data.validation", letters)).contains("data.path is not"));
        assertTrue(refusal(Map.of("model.tokenizer", "tokenizer.json")).contains("model.weights is not"));
        assertTrue(refusal(Map.of("model.weights", folder.resolve("w.onnx").toString()))
                .contains("w.onnx does not exist"));
        assertTrue(refusal(Map.of("model.heads", "5")).contains("multiple of 2 x heads"));
    }
}
