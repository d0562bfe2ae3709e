package dev.nibble.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.models.checkpoint.Checkpoint;
import dev.nibble.models.checkpoint.ModelExport;
import dev.nibble.models.safetensors.ElementType;
import dev.nibble.models.train.TaskKind;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SplittableRandom;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class TagPresetTests {
    private static final RunOrigin ORIGIN = new RunOrigin("test", "1", List.of(), Map.of());

    @TempDir
    Path folder;

    private Path data = Path.of("");
    private final Runs runs = Runs.create();
    private final List<String> notices = new ArrayList<>();

    private final class Listening implements RunListener {
        @Override
        public void notice(String message) {
            notices.add(message);
        }
    }

    /** Sentences in which a letter names the tag: p begins a person that q goes on, l is a place, and o is nothing. */
    @BeforeEach
    void writeSentences() throws IOException {
        SplittableRandom random = new SplittableRandom(3);
        StringBuilder text = new StringBuilder("-DOCSTART- O\n\n");
        for (int i = 0; i < 80; i++) {
            for (int words = 1 + random.nextInt(5); words > 0; words--) {
                switch (random.nextInt(4)) {
                    case 0 -> text.append("p B-PER\nq I-PER\n");
                    case 1 -> text.append("l B-LOC\n");
                    default -> text.append("o O\n");
                }
            }
            text.append('\n');
        }
        data = Files.writeString(folder.resolve("d.conll"), text);
    }

    /** {@return weights whose tokenizer knows the four words, since a model that reads bytes is slow to find where words begin} */
    private Path weights() throws IOException {
        RunConfig bytes = config("fp32").withSteps(1);
        new RunFolder(folder.resolve("bytes"), ORIGIN).train(runs, bytes, new Listening(), Start.NEW);
        Path model = folder.resolve("model");
        ModelExport.write(
                new Checkpoint(folder.resolve("bytes/checkpoints/step-000001"), 1),
                ElementType.F32,
                Optional.empty(),
                model);
        Path tokenizer = model.resolve("tokenizer.json");
        String text = Files.readString(tokenizer);
        int begin = text.indexOf("\"model\" : {");
        Files.writeString(
                tokenizer,
                text.substring(0, begin)
                        + "\"model\":{\"type\":\"WordLevel\",\"unk_token\":\"[PAD]\",\"vocab\":{\"[PAD]\":0,\"[CLS]\":1,\"[SEP]\":2,"
                        + "\"\u0120p\":3,\"\u0120q\":4,\"\u0120l\":5,\"\u0120o\":6}}}");
        return model.resolve("model.safetensors");
    }

    private RunConfig config(String quantizer) {
        return RunConfig.of("tag")
                .with("data.path", data.toString())
                .with("data.classes", "4")
                .with("data.sequence", "24")
                .with("data.batch", "8")
                .with("model.width", "32")
                .with("model.hidden", "48")
                .with("model.heads", "2")
                .with("train.learningRate", "0.01")
                .with("train.warmup", "2")
                .withSteps(60)
                .withQuantizer(QuantizerChoice.parse(quantizer));
    }

    private RunResult completed(RunConfig config) {
        RunResult result = runs.train(config, new Listening());
        assertEquals(RunResult.Status.COMPLETED, result.status(), result.message());
        return result;
    }

    @ParameterizedTest
    @ValueSource(strings = {"fp32", "int4", "luq", "int8-row", "int8-block", "int8-fallback", "fp8"})
    void everyQuantizerLearnsToTag(String quantizer) throws IOException {
        RunConfig config =
                config(quantizer).with("model.weights", weights().toString()).withSteps(30);
        notices.clear();
        RunResult result = completed(config);
        assertEquals(TaskKind.TAGGING, result.kind());
        assertTrue(
                result.finalValidationAccuracy() > 0.95, quantizer + ": accuracy " + result.finalValidationAccuracy());
        assertTrue(result.score("entityF1") > 0.9, quantizer + ": " + result.evaluations());
        assertEquals(1, notices.size(), notices.toString()); // the head has the same labels
    }

    @Test
    void scoresAreInEveryFileAndSurviveABreak() throws IOException {
        RunConfig config =
                config("fp32").withSteps(6).with("train.evaluateEvery", "3").with("train.tensorboard", "true");
        RunResult whole =
                new RunFolder(folder.resolve("whole"), ORIGIN).train(runs, config, new Listening(), Start.NEW);
        RunFolder broken = new RunFolder(folder.resolve("broken"), ORIGIN);
        RunListener breaking = new RunListener() {
            private int questions;

            @Override
            public boolean stopRequested() {
                questions++;
                return questions == 7;
            }
        };
        assertEquals(
                RunResult.Status.INTERRUPTED,
                broken.train(runs, config, breaking, Start.NEW).status());
        RunResult resumed = broken.train(runs, config, new Listening(), Start.RESUME);
        assertEquals(whole.evaluations(), resumed.evaluations());
        assertEquals(2, resumed.evaluations().size());
        List<String> metrics = Files.readAllLines(folder.resolve("broken/metrics.csv"));
        assertTrue(
                metrics.getFirst().endsWith("validationAccuracy,entityPrecision,entityRecall,entityF1"),
                metrics.getFirst());
        assertTrue(metrics.getLast().endsWith("," + (float) whole.score("entityF1")), metrics.getLast());
        String record = Files.readString(folder.resolve("broken/run.json"));
        assertTrue(record.contains("\"entityF1\" : " + whole.score("entityF1")), record);
    }

    @Test
    void whatIsCutIsSaid() {
        RunResult result = completed(config("fp32").withSteps(1).with("data.sequence", "6"));
        assertEquals(2, notices.size(), notices.toString());
        assertTrue(
                notices.getFirst()
                        .matches("\\d+ of 64 sentences to train on have more than 6 tokens and lose their end, and"
                                + " \\d+ words are neither trained nor counted; data.sequence says how many are kept"),
                notices.getFirst());
        assertTrue(Double.isFinite(result.finalValidationLoss()));
    }

    @Test
    void tagsThatMarkNoSpansHaveAccuracyAlone() throws IOException {
        Files.writeString(data, Files.readString(data).replace(" B-", " b").replace(" I-", " i"));
        RunResult result = completed(config("fp32").withSteps(1).with("data.classes", "4"));
        assertTrue(Double.isNaN(result.score("entityF1")));
        assertTrue(notices.getFirst().contains("entities are not scored"), notices.toString());
    }

    private String refusal(RunConfig config) {
        return assertThrows(RuntimeException.class, () -> runs.train(config, new Listening()))
                .getMessage();
    }

    @Test
    void whatDoesNotFitIsRefusedByName() {
        assertTrue(refusal(config("fp32").with("data.classes", "9"))
                .contains("data.classes is 9, but the sentences have 4 labels: [B-LOC, B-PER, I-PER, O]"));
        assertTrue(refusal(config("fp32").with("data.path", "")).contains("name it with --data FILE"));
        assertTrue(refusal(config("fp32").with("data.path", "d.csv")).contains(".conll"));
        String several = refusal(config("fp32").with("data.sequence", "2").with("data.wordColumn", "0"));
        assertTrue(
                several.contains("data.sequence is 2, but must be in 3..") && several.contains("data.wordColumn is 0"),
                several);
    }
}
