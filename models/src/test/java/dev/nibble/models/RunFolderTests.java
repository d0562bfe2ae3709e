package dev.nibble.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import dev.nibble.error.NibbleException;
import dev.nibble.models.train.TaskKind;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class RunFolderTests {
    private static final RunOrigin ORIGIN =
            new RunOrigin("an application", "1.2", List.of("train", "it"), Map.of("java", "25"));

    @TempDir
    Path folder;

    private RunResult train(RunConfig config, RunListener listener) {
        return new RunFolder(folder.resolve("new/deep"), ORIGIN).train(Runs.create(), config, listener);
    }

    private String read(String name) throws IOException {
        return Files.readString(folder.resolve("new/deep").resolve(name));
    }

    private static void requireWellFormed(String json) throws IOException {
        try (JsonParser parser = new JsonFactory().createParser(json)) {
            while (parser.nextToken() != null) {
                parser.currentName();
            }
        }
    }

    @Test
    void metricsHaveARowForEachStep() throws IOException {
        RunResult result = train(RunFixture.tiny().with("train.evaluateEvery", "2"), RunListener.SILENT);
        List<String> rows = read("metrics.csv").lines().toList();
        assertEquals(
                "step,trainLoss,learningRate,gradientNorm,skipped,tokensPerSecond,elapsedSeconds,validationLoss,perplexity,bitsPerByte",
                rows.getFirst());
        assertEquals(1 + 4, rows.size());
        for (StepRecord step : result.curve()) {
            String[] cells = rows.get(1 + step.step()).split(",", -1);
            assertEquals(10, cells.length);
            assertEquals(String.valueOf(step.step()), cells[0]);
            assertEquals((float) step.loss(), Float.parseFloat(cells[1]));
            assertEquals("false", cells[4]);
            for (int cell = 7; cell < 10; cell++) {
                assertEquals(step.step() % 2 == 0, cells[cell].isEmpty(), "evaluated after 2 and 4 steps");
            }
        }
    }

    @Test
    void recordSaysRunningUntilTheEnd() throws IOException {
        RunResult result = train(RunFixture.tiny().with("layers.head", "bf16"), new RunListener() {
            @Override
            public void step(StepRecord step) {
                try {
                    String json = read("run.json");
                    requireWellFormed(json);
                    assertTrue(json.contains("\"status\" : \"running\""), json);
                    // a step's row is written when the next step begins, with the evaluation that may follow it
                    assertEquals(1 + step.step(), read("metrics.csv").lines().count());
                } catch (IOException e) {
                    throw new AssertionError(e);
                }
            }
        });
        assertEquals(RunResult.Status.COMPLETED, result.status(), result.message());
        String json = read("run.json");
        requireWellFormed(json);
        for (String part : List.of(
                "\"tool\" : \"an application\"",
                "\"command\" : [ \"train\", \"it\" ]",
                "\"java\" : \"25\"",
                "\"layers 1: head\" : \"bf16\"",
                "\"set model.width\" : \"32\"",
                "\"status\" : \"completed\"",
                "\"steps\" : 4",
                "\"layer\" : \"blocks.0.mlp.down\"")) {
            assertTrue(json.contains(part), part + " is missing in " + json);
        }
        assertFalse(json.contains("running"));
        try (Stream<Path> files = Files.list(folder.resolve("new/deep"))) {
            assertEquals(
                    List.of("metrics.csv", "recipe.yaml", "run.json"),
                    files.map(f -> f.getFileName().toString()).sorted().toList());
        }
    }

    @Test
    void failureIsAResultWithItsCause() throws IOException {
        RunResult result = train(RunFixture.tiny().with("data.path", "missing.txt"), RunListener.SILENT);
        assertEquals(RunResult.Status.FAILED, result.status());
        assertInstanceOf(NibbleException.class, result.failure().orElseThrow());
        assertTrue(result.message().contains("missing.txt does not exist"), result.message());
        assertEquals(1, read("metrics.csv").lines().count());
        String json = read("run.json");
        requireWellFormed(json);
        assertTrue(json.contains("\"status\" : \"failed\""), json);
    }

    @Test
    void numbersThatAreNotFiniteAreNull() throws IOException {
        RunResult result = new RunResult(
                TaskKind.CLASSIFICATION,
                "int8-block:block=128x128",
                "cpu",
                "a device",
                RunResult.Status.STOPPED,
                "it says \"why\"",
                Optional.empty(),
                1,
                1,
                Double.NaN,
                3.25,
                Double.NaN,
                Double.POSITIVE_INFINITY,
                1000,
                10,
                List.of(),
                List.of(new Evaluation(2, Double.NEGATIVE_INFINITY, 0.5)),
                List.of(),
                List.of(new LayerTelemetry(
                        "head", 0, 2, 0.5, Double.NaN, 0, new java.util.TreeMap<>(java.util.Map.of("flips", 3.0)))),
                "model");
        String json = RunJson.ended(ORIGIN, RunConfig.of("text"), folder, result);
        requireWellFormed(json);
        for (String part : List.of(
                "\"finalTrainLoss\" : null",
                "\"samplesPerSecond\" : null",
                "\"finalValidationAccuracy\" : null",
                "\"validationAccuracy\" : 0.5",
                "\"seconds\" : null",
                "\"finalValidationLoss\" : 3.25",
                "\"validationLoss\" : null",
                "\"threshold\" : null",
                "\"message\" : \"it says \\\"why\\\"\"",
                "\"status\" : \"stopped\"")) {
            assertTrue(json.contains(part), part + " is missing in " + json);
        }
    }

    @Test
    void unknownPresetIsRefusedBeforeAnythingIsWritten() {
        assertThrows(IllegalArgumentException.class, () -> train(RunConfig.of("txt"), RunListener.SILENT));
        assertFalse(Files.exists(folder.resolve("new")));
    }

    @Test
    void fileInTheWayIsReportedAndLeavesNothing() throws IOException {
        Files.createDirectories(folder.resolve("new/deep/run.json/in-the-way"));
        NibbleException e = assertThrows(NibbleException.class, () -> train(RunFixture.tiny(), RunListener.SILENT));
        assertTrue(e.getMessage().contains("run.json cannot be written: it is a folder"), e.getMessage());
        try (Stream<Path> files = Files.list(folder.resolve("new/deep"))) {
            assertEquals(1, files.count());
        }
    }

    @Test
    void runIntoAFolderInUseIsRefusedAndLeavesTheOtherAlone() throws IOException {
        List<String> told = new ArrayList<>();
        RunResult first = train(RunFixture.tiny(), new RunListener() {
            @Override
            public void started(RunInfo info) {
                NibbleException e = assertThrows(
                        NibbleException.class, () -> train(RunFixture.tiny().withSteps(1), RunListener.SILENT));
                told.add(e.getMessage());
            }
        });
        assertEquals(RunResult.Status.COMPLETED, first.status(), first.message());
        assertEquals(1, told.size());
        assertTrue(
                told.getFirst()
                        .contains(
                                "is in use: process " + ProcessHandle.current().pid()),
                told.getFirst());
        assertEquals(4 + 1, read("metrics.csv").lines().count());
    }

    @Test
    void recordHasMemoryPredictedAndMeasured() throws IOException {
        train(RunFixture.tiny(), RunListener.SILENT);
        String json = read("run.json");
        requireWellFormed(json);
        for (String part :
                List.of("\"memory\"", "\"savedActivations\"", "\"predictedBytes\"", "\"measuredBytes\"", "\"peak\"")) {
            assertTrue(json.contains(part), part + " is missing in " + json);
        }
    }
}
