package dev.nibble.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.spi.PlanRequest;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Steps after the low-bit ones, in which LUQ keeps nothing but the weight in four bits. */
class FineTuningRunTests {
    private static final RunConfig LOW_BIT = RunFixture.tiny()
            .withQuantizer(QuantizerChoice.parse("luq:hindsight=0.5"))
            .with("train.learningRate", "0.01")
            .with("train.telemetryEvery", "1");
    private static final RunConfig FINE_TUNED =
            LOW_BIT.with("train.fineTuneSteps", "3").with("train.fineTunePeak", "0.004");

    private final Runs runs = Runs.create();

    @Test
    void fineTuningFollowsTheStepsOfTheRun() {
        List<RunInfo> infos = new ArrayList<>();
        RunResult result = runs.train(FINE_TUNED, new RunListener() {
            @Override
            public void started(RunInfo info) {
                infos.add(info);
            }
        });
        assertEquals(RunResult.Status.COMPLETED, result.status(), result.message());
        assertEquals(7, infos.getFirst().steps());
        assertEquals(7, result.steps());
        assertEquals(3, result.fineTuneSteps());
        assertEquals(3, result.summary().get("fineTuneSteps"));
        for (StepRecord step : result.curve()) {
            boolean lowBit = step.step() < 4;
            assertEquals(
                    lowBit ? PlanRequest.Phase.LOW_BIT : PlanRequest.Phase.FINE_TUNE,
                    step.phase(),
                    "step " + step.step());
        }
        // The last rate is a tenth of 0.01; the triangle of three steps reaches two thirds of the way up, twice.
        double[] rates = {0.003, 0.003, 0.001};
        for (int i = 0; i < rates.length; i++) {
            assertEquals(rates[i], result.curve().get(4 + i).learningRate(), 1e-9);
        }
        assertEquals(
                List.of(4, 7),
                result.evaluations().stream().map(Evaluation::step).toList(),
                "what fine-tuning gained is seen");
    }

    @Test
    void stepsBeforeAreThoseOfARunWithoutIt() {
        RunResult plain = runs.train(LOW_BIT, RunListener.SILENT);
        RunResult tuned = runs.train(FINE_TUNED, RunListener.SILENT);
        assertEquals(0, plain.fineTuneSteps());
        assertFalse(plain.summary().containsKey("fineTuneSteps"));
        for (int i = 0; i < 4; i++) {
            assertEquals(plain.curve().get(i).loss(), tuned.curve().get(i).loss());
            assertEquals(
                    plain.curve().get(i).learningRate(), tuned.curve().get(i).learningRate());
        }
        assertEquals(plain.finalValidationLoss(), tuned.evaluations().getFirst().validationLoss());
        assertNotEquals(plain.finalValidationLoss(), tuned.finalValidationLoss());
    }

    @Test
    void tensorsAreWideThenAndQuantizerStateRests() {
        RunResult result = runs.train(FINE_TUNED, RunListener.SILENT);
        Set<String> formats = result.execution().stream()
                .filter(row -> row.layer().equals("blocks.0.mlp.down"))
                .map(row -> row.product() + " " + row.storedFormat())
                .collect(Collectors.toSet());
        // with rows of the evaluations, which are low-bit in either phase
        assertEquals(
                Set.of(
                        "output int4 x int4",
                        "gradInput e3m0 x int4",
                        "gradWeight e3m0 x int4",
                        "output fp32 x int4",
                        "gradInput fp32 x int4",
                        "gradWeight fp32 x fp32"),
                formats);
        Map<Integer, Double> maximum = result.telemetry().stream()
                .filter(row -> row.layer().equals("blocks.0.mlp.down"))
                .collect(Collectors.toMap(
                        LayerTelemetry::step, row -> row.state().get("maximum")));
        assertNotEquals(maximum.get(2), maximum.get(3));
        assertEquals(maximum.get(3), maximum.get(6));
    }

    @Test
    void peakIsTheLearningRateUnlessGiven() {
        RunResult result = runs.train(LOW_BIT.with("train.fineTuneSteps", "2"), RunListener.SILENT);
        assertEquals(0.01, result.curve().get(4).learningRate(), 1e-9);
        assertEquals(0.001, result.curve().get(5).learningRate(), 1e-9);
    }

    @Test
    void quantizerWithoutFineTuningGoesOnAsBefore() {
        RunConfig config = FINE_TUNED.withQuantizer(QuantizerChoice.of("fp8"));
        RunResult result = runs.train(config, RunListener.SILENT);
        assertEquals(RunResult.Status.COMPLETED, result.status(), result.message());
        assertEquals(3, result.fineTuneSteps());
        assertTrue(result.execution().stream()
                .filter(row -> !row.layer().equals("head"))
                .noneMatch(row -> row.storedFormat().contains("fp32")));
    }

    @Test
    void recordOfARunTellsIt(@TempDir Path folder) throws IOException {
        RunOrigin origin = new RunOrigin("an application", "1", List.of(), Map.of());
        new RunFolder(folder.resolve("run"), origin).train(runs, FINE_TUNED, RunListener.SILENT);
        String json = Files.readString(folder.resolve("run").resolve("run.json"));
        assertTrue(json.contains("\"fineTuneSteps\" : 3"), json);
        assertTrue(json.contains("\"set train.fineTunePeak\" : \"0.004\""), json);
        assertEquals(
                1 + 7,
                Files.readAllLines(folder.resolve("run").resolve("metrics.csv")).size());
    }

    @Test
    void settingsOutOfRangeAreRefused() {
        for (RunConfig config :
                List.of(LOW_BIT.with("train.fineTuneSteps", "-1"), LOW_BIT.with("train.fineTunePeak", "-0.1"))) {
            String message = assertThrows(IllegalArgumentException.class, () -> runs.train(config, RunListener.SILENT))
                    .getMessage();
            assertTrue(message.contains("fine-tuning: steps"), message);
        }
    }
}
