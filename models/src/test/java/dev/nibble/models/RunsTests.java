package dev.nibble.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.inject.multibindings.OptionalBinder;
import dev.nibble.error.NibbleException;
import dev.nibble.error.NotAvailableException;
import dev.nibble.error.StrictException;
import dev.nibble.report.ExecutionRow;
import dev.nibble.tensor.MemoryTag;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class RunsTests {
    private final Runs runs = Runs.create();

    private static String problem(Runs runs, RunConfig config) {
        return assertThrows(IllegalArgumentException.class, () -> runs.train(config, RunListener.SILENT))
                .getMessage();
    }

    @Test
    void everyProblemIsNamedBeforeAnythingStarts() {
        String message = problem(
                runs,
                RunFixture.tiny()
                        .withQuantizer(QuantizerChoice.parse("fp23"))
                        .withBackend("cpuu")
                        .withSteps(-1)
                        .withThreads(-2)
                        .with("model.layer", "2")
                        .with("model.width", "wide")
                        .with("layers.head", "bf16:colour=red"));
        for (String part : List.of(
                "no quantizer is named 'fp23'",
                "Did you mean 'fp32'?",
                "no backend is named 'cpuu'",
                "steps is -1",
                "threads is -2",
                "no setting is named 'model.layer'",
                "setting model.width is 'wide', but must be an integer",
                "'colour' is not an option")) {
            assertTrue(message.contains(part), part + " is missing in: " + message);
        }
    }

    /** Exit status 2 of the command line goes before 3: a machine without the backend cannot check the rest otherwise. */
    @Test
    void missingBackendIsToldWhenNothingElseIsWrong() {
        BackendLookup none = name -> {
            throw new NotAvailableException("backend " + name + " is not available: no device");
        };
        Runs machine = RunFixture.runs(binder -> OptionalBinder.newOptionalBinder(binder, BackendLookup.class)
                .setBinding()
                .toInstance(none));
        RunConfig config = RunFixture.tiny().withBackend("gpu");
        String message = problem(machine, config.withQuantizer(QuantizerChoice.parse("fp23")));
        assertTrue(message.contains("no quantizer is named 'fp23'"), message);
        NotAvailableException alone = assertThrows(NotAvailableException.class, () -> machine.check(config));
        assertEquals("backend gpu is not available: no device", alone.getMessage());
    }

    @Test
    void failureInAStepIsKeptWithItsCause() {
        StrictException strict = new StrictException("output of layer head asked for int8 x int8, but ran fp32");
        RunResult result = RunFixture.runs(new RunFixture.Disturbed((_, _, step) -> {
                    if (step == 2) {
                        throw strict;
                    }
                }))
                .train(RunFixture.Disturbed.config(), RunListener.SILENT);
        assertEquals(RunResult.Status.FAILED, result.status());
        assertSame(strict, result.failure().orElseThrow());
        assertEquals(strict.getMessage(), result.message());
        assertEquals(2, result.steps());
        assertFalse(result.device().isEmpty());
    }

    @Test
    void unknownPresetNamesTheKnownOnes() {
        String message = problem(runs, RunConfig.of("texts"));
        assertTrue(message.contains("no preset is named 'texts'; known: classify, images, resnet, tag, text"), message);
    }

    @Test
    void valuesThatDoNotFitTogetherAreRefused() {
        assertTrue(problem(runs, RunFixture.tiny().with("model.width", "30"))
                .contains("width is 30, but must be a multiple of 2 x heads = 4"));
        assertTrue(problem(runs, RunFixture.tiny().with("data.batch", "0")).contains("setting data.batch is 0"));
        assertTrue(problem(runs, RunFixture.tiny().with("train.clip", "0")).contains("clip is 0.0"));
    }

    @Test
    void patternThatMatchesNothingNamesTheLayers() {
        String message = problem(runs, RunFixture.tiny().with("layers.blocks.*.mlp.dwon", "bf16"));
        assertTrue(message.contains("layer pattern 'blocks.*.mlp.dwon' matches no layer"), message);
        assertTrue(message.contains("blocks.0.mlp.down"), message);
    }

    @Test
    void missingAndShortTextsAreReported(@TempDir Path folder) throws IOException {
        Path missing = folder.resolve("missing.txt");
        NibbleException absent = assertThrows(
                NibbleException.class,
                () -> runs.train(RunFixture.tiny().with("data.path", missing.toString()), RunListener.SILENT));
        assertTrue(absent.getMessage().contains("does not exist"), absent.getMessage());
        Path small = Files.write(folder.resolve("small.txt"), new byte[100]);
        NibbleException tooShort = assertThrows(
                NibbleException.class,
                () -> runs.train(RunFixture.tiny().with("data.path", small.toString()), RunListener.SILENT));
        assertTrue(tooShort.getMessage().contains("has 100 bytes, but needs at least 170"), tooShort.getMessage());
    }

    @Test
    void layerNamesAreThoseOfTheConfiguredModel() {
        List<String> names = runs.layerNames(RunFixture.tiny().with("model.layers", "3"));
        assertEquals(13, names.size());
        assertEquals("blocks.2.mlp.down", names.get(11));
        assertEquals("head", names.getLast());
    }

    @Test
    void presetHasRoomForFallbackInEveryProjection() {
        Preset preset = runs.preset("text");
        SettingValues values = SettingValues.of(preset.settings(), java.util.Map.of());
        long tokens = (long) values.integer("data.batch") * values.integer("data.sequence");
        assertEquals(2048, tokens);
        preset.layers(values).stream()
                .filter(layer -> preset.ownQuantizer(layer).isEmpty())
                .forEach(layer ->
                        assertTrue(Math.ceilDiv(tokens, 128) * Math.ceilDiv(layer.in(), 128) >= 32, layer.toString()));
    }

    @Test
    void lastOverrideThatMatchesWins() {
        RunConfig config = RunFixture.tiny()
                .withSteps(1)
                .with("layers.blocks.*", "bf16")
                .with("layers.*.down", "fp32")
                .with("layers.head", "bf16");
        RunResult result = runs.train(config, RunListener.SILENT);
        Set<String> bf16 = result.execution().stream()
                .filter(row -> row.requestedFormat().equals("bf16 x bf16"))
                .map(ExecutionRow::layer)
                .collect(Collectors.toSet());
        assertEquals(Set.of("blocks.0.attn.qkv", "blocks.0.attn.out", "blocks.0.mlp.gateUp", "head"), bf16);
    }

    @Test
    void resultAndListenerTellTheSameStory() {
        List<StepRecord> heard = new ArrayList<>();
        List<Evaluation> evaluations = new ArrayList<>();
        List<RunInfo> infos = new ArrayList<>();
        RunResult result = runs.train(
                RunFixture.tiny().withSteps(5).with("train.evaluateEvery", "2").with("train.telemetryEvery", "3"),
                new RunListener() {
                    @Override
                    public void started(RunInfo info) {
                        infos.add(info);
                    }

                    @Override
                    public void step(StepRecord step) {
                        heard.add(step);
                    }

                    @Override
                    public void evaluated(Evaluation evaluation) {
                        evaluations.add(evaluation);
                    }
                });
        assertEquals(RunResult.Status.COMPLETED, result.status());
        assertEquals(5, result.steps());
        assertEquals(0, result.skippedSteps());
        assertEquals(heard, result.curve());
        assertEquals(evaluations, result.evaluations());
        assertEquals(
                List.of(2, 4, 5), evaluations.stream().map(Evaluation::step).toList());
        assertEquals(evaluations.getLast().validationLoss(), result.finalValidationLoss());
        assertTrue(Double.isNaN(result.finalValidationAccuracy()));
        assertEquals(
                heard.stream().mapToDouble(StepRecord::loss).average().orElseThrow(), result.finalTrainLoss(), 1e-12);
        assertEquals(1, infos.size());
        assertEquals(64, infos.getFirst().unitsPerStep());
        assertEquals(5, infos.getFirst().steps());
        assertEquals(2 * 5, result.telemetry().size()); // steps 0 and 3, five layers
        assertTrue(result.telemetry().stream().allMatch(row -> row.amax() > 0));
        assertTrue(result.unitsPerSecond() > 0 && result.seconds() > 0);
    }

    @Test
    void firstLossIsThatOfGuessing() {
        RunResult result = runs.train(RunFixture.tiny().withSteps(1), RunListener.SILENT);
        // logits of first weights are tiny: width 32 with deviation 0.02 gives 0.11, and half its square is 0.006
        assertEquals(Math.log(256), result.curve().getFirst().loss(), 0.1);
    }

    @Test
    void savedActivationsAreCountedFromTheAllocator() {
        RunResult result = runs.train(RunFixture.tiny().withSteps(1), RunListener.SILENT);
        // fp32: residual streams, operands, q k v, attention's output, gate and up; 64 tokens, width 32, hidden 48
        long tokens = 64;
        long perToken = 2 * 32 + 32 + 3 * 32 + 32 + 32 + 2 * 48 + 48 + 32 + 32; // floats of one block, last norm, head
        long scalars = 3 * tokens + 2 * tokens; // inverse RMS of three norms, log-sum-exp of two heads
        assertEquals(4 * (tokens * perToken + scalars), result.savedActivationBytes());
        assertTrue(result.peakBytes() > result.savedActivationBytes());
    }

    @Test
    void nothingIsLeftOpenBetweenSteps() {
        RunFixture.WatchedBackends watched = new RunFixture.WatchedBackends();
        int[] seen = new int[1];
        RunListener listener = new RunListener() {
            @Override
            public void step(StepRecord step) {
                assertNothingLive();
            }

            @Override
            public void evaluated(Evaluation evaluation) {
                assertNothingLive();
            }

            private void assertNothingLive() {
                seen[0]++;
                var memory = watched.opened.getLast().memory();
                assertEquals(0, memory.live(MemoryTag.CONTEXT));
                assertEquals(0, memory.live(MemoryTag.SCRATCH));
            }
        };
        Runs runs = RunFixture.runs(watched);
        runs.train(RunFixture.tiny().with("train.microBatches", "2"), listener);
        runs.train(RunFixture.tiny().withQuantizer(QuantizerChoice.of("bf16")), listener);
        assertEquals(10, seen[0]);
        assertEquals(2, watched.opened.size());
        for (var backend : watched.opened) {
            for (MemoryTag tag : MemoryTag.values()) {
                assertEquals(0, backend.memory().live(tag), tag.name());
            }
        }
    }

    @Test
    void interruptedRunEndsAfterTheStepAndSaysSo() {
        List<Integer> steps = new ArrayList<>();
        RunResult result = runs.train(RunFixture.tiny().withSteps(50), new RunListener() {
            @Override
            public void step(StepRecord step) {
                steps.add(step.step());
            }

            @Override
            public boolean stopRequested() {
                return steps.size() == 3;
            }
        });
        assertEquals(RunResult.Status.INTERRUPTED, result.status());
        assertEquals("the run was interrupted after step 2", result.message());
        assertEquals(3, result.steps());
        assertTrue(Double.isNaN(result.finalValidationLoss()));
    }

    @Test
    void microBatchesAreDifferentBatches() {
        Set<Double> losses = new HashSet<>();
        for (String count : List.of("1", "2")) {
            RunResult result =
                    runs.train(RunFixture.tiny().withSteps(1).with("train.microBatches", count), RunListener.SILENT);
            losses.add(result.curve().getFirst().loss());
        }
        assertEquals(2, losses.size());
    }
}
