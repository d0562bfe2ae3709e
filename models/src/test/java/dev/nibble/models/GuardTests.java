package dev.nibble.models;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.models.layers.Parameter;
import dev.nibble.models.train.TaskKind;
import dev.nibble.models.train.Workload;
import dev.nibble.report.ExecutionRow;
import dev.nibble.spi.Backend;
import dev.nibble.spi.NonFinite;
import dev.nibble.spi.Site;
import dev.nibble.tensor.Role;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What a run does about steps that go wrong. */
class GuardTests {
    private static final String DOWN = "blocks.0.mlp.down";
    private static final int STEPS = 12;
    private static final int BAD = 7; // the batch that goes wrong

    @TempDir
    Path folder;

    private final List<String> notices = new ArrayList<>();

    private static float[] weight(Backend backend, Workload workload, String name) {
        return backend.readFloats(parameter(workload, name).value());
    }

    private static Parameter parameter(Workload workload, String name) {
        return workload.parameters().stream()
                .filter(p -> p.name().equals(name))
                .findFirst()
                .orElseThrow();
    }

    /** Makes weights of a layer wrong for the one batch, and right again for the next. */
    private static final class Once implements RunFixture.Disturbance {
        private final String name;
        private final float factor;
        private Optional<float[]> good = Optional.empty();

        Once(String name, float factor) {
            this.name = name;
            this.factor = factor;
        }

        @Override
        public void before(Backend backend, Workload workload, int step) {
            if (step == BAD) {
                float[] values = weight(backend, workload, name);
                good = Optional.of(values.clone());
                for (int i = 0; i < values.length; i++) {
                    values[i] *= factor;
                }
                backend.write(parameter(workload, name).value(), values);
            } else if (step == BAD + 1) {
                good.ifPresent(values -> backend.write(parameter(workload, name).value(), values));
                good = Optional.empty();
            }
        }
    }

    private static RunConfig config(String quantizer) {
        return RunFixture.Disturbed.config()
                .withSteps(STEPS)
                .withQuantizer(QuantizerChoice.parse(quantizer))
                .with("guard.spikeWindow", "4");
    }

    private RunResult train(RunFixture.Disturbance disturbance, RunConfig config) {
        return RunFixture.runs(new RunFixture.Disturbed(disturbance)).train(config, listener(Integer.MAX_VALUE));
    }

    private RunListener listener(int questions) {
        int[] left = {questions};
        return new RunListener() {
            @Override
            public void notice(String message) {
                notices.add(message);
            }

            @Override
            public boolean stopRequested() {
                left[0]--;
                return left[0] == 0;
            }
        };
    }

    private RunResult train(
            String name, RunFixture.Disturbance disturbance, RunConfig config, Start start, int questions) {
        return new RunFolder(folder.resolve(name), ResumeFixture.ORIGIN)
                .train(RunFixture.runs(new RunFixture.Disturbed(disturbance)), config, listener(questions), start);
    }

    /** Median 2, distances 0, 0.1, 0.1, 0.2, 0.3: their median is 0.1. */
    @ParameterizedTest
    @CsvSource({"2.74, false", "2.75, true", "NaN, false"})
    void spikeIsAboveTheMedianByRobustDeviations(double loss, boolean spike) {
        double limit = 2 + 5 * 1.4826 * 0.1; // 2.7413
        assertTrue(2.74 < limit && limit < 2.75);
        assertEquals(
                spike, guard("skip", 2.1, 1.9, 2.0, 1.8, 2.3).spike(5, loss).isPresent());
    }

    @Test
    void lossThatHardlyVariesHasASmallestDeviation() {
        Guard guard = guard("skip", 0.5, 0.5, 0.5, 0.5, 0.5);
        assertFalse(guard.spike(5, 0.599).isPresent()); // 0.5 + 5 · 0.02
        assertTrue(guard.spike(5, 0.601).isPresent());
        Guard large = guard("skip", 8, 8, 8, 8, 8);
        assertFalse(large.spike(5, 8.79).isPresent()); // 8 + 5 · 0.02 · 8
        assertTrue(large.spike(5, 8.81).isPresent());
    }

    @Test
    void thereIsNoSpikeInWarmUpOrBeforeTheWindowIsFull() {
        assertFalse(guard("skip", 2, 2, 2, 2).spike(4, 90).isPresent());
        assertTrue(guard("skip", 2, 2, 2, 2, 2).spike(5, 90).isPresent());
        assertFalse(guard("ignore", 2, 2, 2, 2, 2).spike(5, 90).isPresent());
        assertFalse(new Guard(settings("skip"), 6, recorder(2, 2, 2, 2, 2))
                .spike(5, 90)
                .isPresent());
    }

    @Test
    void aLossThatStaysHighIsToldOfOnce() {
        Guard guard = guard("note", 2, 2, 2, 2, 2, 9);
        assertTrue(guard("note", 2, 2, 2, 2, 2).spike(5, 9).isPresent());
        assertFalse(guard.spike(6, 9).isPresent());
    }

    private static GuardSettings settings(String spike) {
        return GuardSettings.of(SettingValues.of(
                GuardSettings.SETTINGS,
                Map.of("guard.spike", spike, "guard.spikeWindow", "5", "guard.spikeDeviations", "5")));
    }

    private static Guard guard(String spike, double... losses) {
        return new Guard(settings(spike), 0, recorder(losses));
    }

    private static RunRecorder recorder(double... losses) {
        Runs runs = Runs.create();
        RunConfig config = RunFixture.tiny();
        RunRecorder recorder = new RunRecorder(
                TaskKind.LANGUAGE_MODEL, config, runs.prepare(config).task(), "cpu", RunHistory.EMPTY);
        for (int i = 0; i < losses.length; i++) {
            recorder.step(new StepRecord(i, losses[i], 0.1, 1, false, 1, 1));
        }
        return recorder;
    }

    @ParameterizedTest
    @CsvSource({"INPUT, a b", "WEIGHT, b", "GRAD_OUTPUT, b c"})
    void theLayerAndTheOneThatItCameFromAreToBlame(Role role, String blamed) {
        List<NonFinite> found =
                List.of(new NonFinite(new Site("b", 1), role), new NonFinite(new Site("d", 3), Role.INPUT));
        List<String> layers = List.of("a", "b", "c", "d");
        assertEquals(List.of(blamed.split(" ")), Guard.offending(found, layers, _ -> true));
        assertEquals(layers, Guard.offending(List.of(), layers, _ -> true));
        assertEquals(List.of("d"), Guard.offending(found, layers, layer -> layer.equals("d")));
    }

    /** Whether an update waits for its loss changes no bit. */
    @ParameterizedTest
    @ValueSource(strings = {"fp32", "luq:hindsight=0.1", "fp8:scaling=delayed"})
    void holdingUpdatesBackChangesNothing(String quantizer) {
        RunConfig config = config(quantizer).with("train.microBatches", "2");
        RunResult plain = train((_, _, _) -> {}, config.with("guard.spike", "ignore"));
        RunResult held = train((_, _, _) -> {}, config.with("guard.spike", "skip"));
        assertEquals(
                plain.curve().stream().map(StepRecord::loss).toList(),
                held.curve().stream().map(StepRecord::loss).toList());
        assertEquals(plain.telemetry(), held.telemetry());
        assertEquals(List.of(), held.events());
    }

    @Test
    void spikeIsNotedByDefaultAndChangesNothing() {
        RunResult ignored = train(new Once("head.weight", 30), config("fp32").with("guard.spike", "ignore"));
        RunResult noted = train(new Once("head.weight", 30), config("fp32"));
        assertEquals(RunResult.Status.COMPLETED, noted.status(), noted.message());
        assertEquals(1, noted.events().size());
        assertEquals(GuardAction.NOTE, noted.events().getFirst().action());
        assertEquals(BAD, noted.events().getFirst().step());
        assertEquals(List.of(noted.events().getFirst().message()), notices);
        assertEquals(0, noted.skippedSteps());
        assertEquals(ignored.finalValidationLoss(), noted.finalValidationLoss());
        assertEquals(List.of(), ignored.events());
    }

    @Test
    void skippedSpikeLeavesWeightsMomentsAndStateAlone() {
        List<float[]> before = new ArrayList<>();
        List<float[]> after = new ArrayList<>();
        Once once = new Once("head.weight", 30);
        RunFixture.Disturbance watched = (backend, workload, step) -> {
            if (step == BAD || step == BAD + 1) {
                if (step == BAD + 1) {
                    once.before(backend, workload, step);
                }
                List<float[]> values = step == BAD ? before : after;
                workload.parameters().forEach(p -> values.add(backend.readFloats(p.value())));
                workload.linears()
                        .forEach(layer -> layer.state().all().values().forEach(v -> values.add(backend.readFloats(v))));
            }
            if (step == BAD) {
                once.before(backend, workload, step);
            }
        };
        RunResult result = train(watched, config("fp8:scaling=delayed").with("guard.spike", "skip"));
        assertEquals(RunResult.Status.COMPLETED, result.status(), result.message());
        assertEquals(1, result.skippedSteps());
        assertTrue(result.curve().get(BAD).skipped());
        assertTrue(result.events().getFirst().message().endsWith(": the step is left out"));
        assertTrue(before.size() > 10);
        assertEquals(before.size(), after.size());
        for (int i = 0; i < before.size(); i++) {
            assertArrayEquals(before.get(i), after.get(i), "tensor " + i);
        }
    }

    @Test
    void spikeStopsIfItShould() {
        RunResult result = train(new Once("head.weight", 30), config("fp32").with("guard.spike", "stop"));
        assertEquals(RunResult.Status.STOPPED, result.status());
        assertTrue(result.message().startsWith("the loss is "), result.message());
        assertTrue(result.message().contains(" at step 7, but after those before it at most "), result.message());
        assertEquals(BAD + 1, result.steps());
    }

    private static Set<String> formats(RunResult result, String layer) {
        return result.execution().stream()
                .filter(row -> row.layer().equals(layer) && row.product().equals("output"))
                .map(ExecutionRow::requestedFormat)
                .collect(Collectors.toSet());
    }

    @Test
    void layerThatMeetsANaNBacksOff() {
        RunConfig config = config("int8-row").withNonFinite(NonFinitePolicy.BACKOFF);
        RunResult result = train(new Once(DOWN + ".weight", Float.NaN), config);
        assertEquals(RunResult.Status.COMPLETED, result.status(), result.message());
        assertEquals(1, result.skippedSteps());
        assertEquals(1, result.events().size());
        RunEvent event = result.events().getFirst();
        assertEquals(List.of(DOWN), event.layers());
        assertEquals(
                DOWN + ": weight holds NaN or infinity at step 7: the step is left out; from now on bf16 in layer "
                        + DOWN,
                event.message());
        assertEquals(2, formats(result, DOWN).size());
        assertEquals(1, formats(result, "blocks.0.mlp.gateUp").size());
        assertTrue(Double.isFinite(result.finalValidationLoss()));
    }

    @Test
    void layersComeBackAfterAWhileAndHaveFallbacksOfTheirOwn() {
        RunConfig config = config("int8-row")
                .with("guard.spike", "backoff")
                .with("guard.backoffSteps", "2")
                .with("layers.*.down@backoff", "fp8");
        RunResult result = train(new Once("head.weight", 30), config);
        assertEquals(RunResult.Status.COMPLETED, result.status(), result.message());
        assertEquals(2, result.events().size(), notices.toString());
        assertEquals(4, result.events().getFirst().layers().size(), "a spike blames all but the head, which is fp32");
        RunEvent back = result.events().getLast();
        assertEquals(BAD + 3, back.step());
        assertEquals(RunEvent.Cause.SCHEDULE, back.cause());
        assertTrue(back.message().contains("from bf16 to int8-row"), back.message());
        assertTrue(back.message().contains("from fp8"), back.message());
    }

    @Test
    void runGivesUpAfterTooManyEvents() {
        RunFixture.Disturbance broken = (backend, workload, step) -> {
            if (step == 3) {
                float[] values = weight(backend, workload, DOWN + ".weight");
                Arrays.fill(values, Float.NaN);
                backend.write(parameter(workload, DOWN + ".weight").value(), values);
            }
        };
        RunConfig config = config("fp32").withNonFinite(NonFinitePolicy.SKIP).with("guard.limit", "4");
        RunResult result = train(broken, config);
        assertEquals(RunResult.Status.STOPPED, result.status());
        assertTrue(
                result.message().contains("at step 7; the run gives up after 4 such events (guard.limit)"),
                result.message());
        assertEquals(5, result.events().size());
        RunResult endless = train(broken, config.with("guard.limit", "0"));
        assertEquals(RunResult.Status.COMPLETED, endless.status(), endless.message());
    }

    /** Weights that go wrong at one place in the data. What a rollback restores need not be put right. */
    private static void poison(Backend backend, Workload workload, int step) {
        if (step == BAD) {
            float[] values = weight(backend, workload, DOWN + ".weight");
            values[0] = Float.NaN;
            backend.write(parameter(workload, DOWN + ".weight").value(), values);
        }
    }

    private static RunConfig rolling(String quantizer) {
        return config(quantizer)
                .withNonFinite(NonFinitePolicy.ROLLBACK)
                .with("guard.rollbackEvery", "3")
                .with("train.evaluateEvery", "4")
                .with("train.telemetryEvery", "2")
                .with("train.tensorboard", "true");
    }

    @Test
    void rollbackGoesOnFromACheckpointBeforeWithTheDataBehind() throws IOException {
        List<Integer> batches = new ArrayList<>();
        RunConfig config = rolling("luq").with("guard.rollbackRate", "0.5");
        RunResult result = train(
                "run",
                (backend, workload, step) -> {
                    batches.add(step);
                    poison(backend, workload, step);
                },
                config,
                Start.NEW,
                Integer.MAX_VALUE);
        assertEquals(RunResult.Status.COMPLETED, result.status(), result.message());
        // 7 is less than 3 steps after 6, so the run goes back to 3; batches 3 to 7 are left behind
        assertEquals(List.of(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16), batches);
        assertEquals(STEPS, result.steps());
        RunEvent event = result.events().getFirst();
        assertEquals(GuardAction.ROLLBACK, event.action());
        assertEquals(3, event.target());
        assertTrue(
                event.message()
                        .endsWith("at step 7: back to step 3, and on with the data behind that step, the learning"
                                + " rate times 0.5"),
                event.message());
        RunResult whole = train((_, _, _) -> {}, config.withNonFinite(NonFinitePolicy.STOP));
        for (int step = 0; step < STEPS; step++) {
            StepRecord row = result.curve().get(step);
            assertEquals(step, row.step());
            double rate = whole.curve().get(step).learningRate();
            assertEquals((float) (step < 3 ? rate : rate / 2), row.learningRate());
        }
        assertEquals(
                List.of(4, 8, 12),
                result.evaluations().stream().map(Evaluation::step).toList());
        assertEquals(
                1 + STEPS, Files.readAllLines(folder.resolve("run/metrics.csv")).size());
        assertTrue(Files.readString(folder.resolve("run/run.json")).contains("\"action\" : \"rollback\""));
        String state = Files.readString(folder.resolve("run/checkpoints/step-000012/state.json"));
        assertTrue(state.contains("\"nextStep\" : 17"), state);
    }

    @ParameterizedTest
    @ValueSource(strings = {"fp8:scaling=delayed", "int8-fallback:block=16"})
    void guardedRunIsResumedToTheSameBits(String quantizer) {
        RunConfig config = rolling(quantizer)
                .with("layers.blocks.0.attn.*@4", "int8-row")
                .with("guard.spike", "skip")
                .with("train.checkpointEvery", "1");
        RunResult whole = train("whole", GuardTests::poison, config, Start.NEW, Integer.MAX_VALUE);
        assertEquals(RunResult.Status.COMPLETED, whole.status(), whole.message());
        for (int questions : List.of(2, 5, 3)) {
            train("broken", GuardTests::poison, config, Start.RESUME, questions);
        }
        RunResult broken = train("broken", GuardTests::poison, config, Start.RESUME, Integer.MAX_VALUE);
        new RunSnapshot(folder.resolve("broken"), STEPS).assertSameAs(new RunSnapshot(folder.resolve("whole"), STEPS));
        assertEquals(whole.events(), broken.events());
        assertTrue(whole.events().stream().anyMatch(event -> event.action() == GuardAction.ROLLBACK));
    }

    @ParameterizedTest
    @ValueSource(strings = {"fp8:scaling=delayed", "int8-fallback:block=16"})
    void layerThatBacksOffIsResumedToTheSameBits(String quantizer) {
        RunConfig config = config(quantizer)
                .withNonFinite(NonFinitePolicy.BACKOFF)
                .with("guard.backoff", "int8-row")
                .with("guard.backoffSteps", "3")
                .with("train.telemetryEvery", "1");
        RunResult whole = train("whole", new Once(DOWN + ".weight", Float.NaN), config, Start.NEW, Integer.MAX_VALUE);
        assertEquals(RunResult.Status.COMPLETED, whole.status(), whole.message());
        assertEquals(2, whole.events().size());
        Once once = new Once(DOWN + ".weight", Float.NaN); // remembers the right values over the breaks
        for (int questions : List.of(BAD + 2, 1, 1)) {
            train("broken", once, config, Start.RESUME, questions);
        }
        RunResult broken = train("broken", once, config, Start.RESUME, Integer.MAX_VALUE);
        new RunSnapshot(folder.resolve("broken"), STEPS).assertSameAs(new RunSnapshot(folder.resolve("whole"), STEPS));
        assertEquals(whole.events(), broken.events());
        assertEquals(whole.telemetry(), broken.telemetry());
    }

    @Test
    void rollbacksEndWhenTheDataIsAllBad() {
        RunFixture.Disturbance broken = (backend, workload, step) -> {
            if (step >= BAD) {
                poison(backend, workload, BAD);
            }
        };
        RunResult result = train("run", broken, rolling("fp32").with("guard.limit", "3"), Start.NEW, 1 << 20);
        assertEquals(RunResult.Status.STOPPED, result.status());
        assertTrue(result.message().contains("the run gives up after 3 such events"), result.message());
        assertEquals(
                3,
                result.events().stream()
                        .filter(event -> event.action() == GuardAction.ROLLBACK)
                        .count());
    }

    @Test
    void resolvedRecipeWritesTheFallbackOut() {
        Runs runs = Runs.create();
        RunConfig config = RunFixture.tiny()
                .withQuantizer(QuantizerChoice.of("luq"))
                .withNonFinite(NonFinitePolicy.BACKOFF)
                .with("guard.backoff", "fp8");
        assertTrue(runs.resolvedRecipe(config).contains("  backoff: \"fp8:"), runs.resolvedRecipe(config));
    }

    @Test
    void rollbackNeedsCheckpoints() {
        Exception e = assertThrows(IllegalArgumentException.class, () -> train((_, _, _) -> {}, rolling("fp32")));
        assertTrue(e.getMessage().contains("goes back to a checkpoint, but this run writes none"), e.getMessage());
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "guard.spike|jump|setting guard.spike is 'jump'",
                "guard.spikeWindow|2|setting guard.spikeWindow is 2, but must be in 3..10000",
                "guard.spikeDeviations|0|setting guard.spikeDeviations is 0.0, but must be above 0",
                "guard.rollbackRate|1.5|setting guard.rollbackRate is 1.5, but must be above 0 and at most 1",
                "guard.rollbackEvery|0|setting guard.rollbackEvery is 0",
                "guard.limit|-1|setting guard.limit is -1",
                "guard.backoff|fp9|fp9"
            })
    void settingsThatDoNotFitAreRefused(String path, String value, String message) {
        RunConfig config =
                RunFixture.tiny().withNonFinite(NonFinitePolicy.BACKOFF).with(path, value);
        Exception e =
                assertThrows(IllegalArgumentException.class, () -> Runs.create().check(config));
        assertTrue(e.getMessage().contains(message), e.getMessage());
    }
}
