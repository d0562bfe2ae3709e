package dev.nibble.models;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.models.checkpoint.Checkpoint;
import dev.nibble.models.checkpoint.CheckpointFile;
import dev.nibble.models.checkpoint.ModelExport;
import dev.nibble.models.data.IdxFiles;
import dev.nibble.models.safetensors.ElementType;
import dev.nibble.models.safetensors.SafetensorsFile;
import dev.nibble.models.train.Workload;
import dev.nibble.spi.Backend;
import dev.nibble.tensor.Tensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SortedMap;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Averages of the weights (train.ema). */
class EmaTests extends ResumeFixture {
    private static final double DECAY = 0.4; // reached after five updates: (1 + t) / (10 + t) is below it before

    private static RunConfig averaging(String quantizer) {
        return config(quantizer).with("train.ema", String.valueOf(DECAY)).with("train.checkpointEvery", "1");
    }

    private Map<String, float[]> tensors(String run, int step, CheckpointFile file) {
        Map<String, float[]> tensors = new TreeMap<>();
        try (SafetensorsFile source = SafetensorsFile.open(checkpoint(run, step).file(file))) {
            source.tensors().keySet().forEach(name -> tensors.put(name, source.floats(name)));
        }
        return tensors;
    }

    private static RunConfig keepingAll(RunConfig config) {
        return config.with("train.checkpointKeep", "100");
    }

    /**
     * The formula, in FP64, from the weights of each checkpoint. Three roundings a step of numbers of at most the largest weight m, each of
     * 2^-24 m, and a share of what came before of less than 1: within 3 · steps · 2^-24 · m.
     */
    private void assertAverages(String run, int steps, List<Integer> skipped) {
        Map<String, float[]> averages = tensors(run, steps, CheckpointFile.AVERAGES);
        Map<String, float[]> first = tensors(run, 0, CheckpointFile.MODEL);
        assertEquals(first.keySet(), averages.keySet());
        Map<String, double[]> expected = new TreeMap<>();
        Map<String, Double> largest = new TreeMap<>();
        first.forEach((name, values) -> {
            double[] copy = new double[values.length]; // [elements]
            for (int i = 0; i < copy.length; i++) {
                copy[i] = values[i];
            }
            expected.put(name, copy);
        });
        int updates = 0;
        for (int step = 1; step <= steps; step++) {
            if (skipped.contains(step - 1)) {
                continue;
            }
            updates++;
            double decay = Math.min(DECAY, (1.0 + updates) / (10.0 + updates));
            tensors(run, step, CheckpointFile.MODEL).forEach((name, values) -> {
                double[] average = expected.get(name);
                for (int i = 0; i < average.length; i++) {
                    average[i] += (1 - decay) * (values[i] - average[i]);
                    largest.merge(name, (double) Math.abs(values[i]), Math::max);
                }
            });
        }
        averages.forEach((name, values) -> {
            double bound = 3 * steps * 0x1p-24 * Math.max(largest.get(name), 1);
            for (int i = 0; i < values.length; i++) {
                assertEquals(expected.get(name)[i], values[i], bound, name + "[" + i + "]");
            }
        });
    }

    @ParameterizedTest
    @ValueSource(strings = {"luq", "int4"})
    void averagesAreThoseOfTheFormula(String quantizer) {
        train("run", keepingAll(averaging(quantizer)), Start.NEW);
        assertAverages("run", STEPS, List.of());
        assertThrows(AssertionError.class, () -> assertAverages("run", STEPS, List.of(2)), "the check can fail");
    }

    @Test
    void averagesOfBatchNormalizationMoveLikewise() throws IOException {
        train("run", keepingAll(resNet()), Start.NEW);
        assertTrue(tensors("run", STEPS, CheckpointFile.AVERAGES).containsKey("stem.norm.moments"));
        assertAverages("run", STEPS, List.of());
    }

    private RunConfig resNet() throws IOException {
        Path images = Files.createDirectories(folder.resolve("images"));
        IdxFiles.writePatterns(images, 60, 20);
        return RunConfig.of("resnet")
                .withQuantizer(QuantizerChoice.of("luq"))
                .withSteps(STEPS)
                .with("data.path", images.toString())
                .with("data.classes", "4")
                .with("data.batch", "8")
                .with("model.width", "4")
                .with("model.blocks", "1")
                .with("train.ema", String.valueOf(DECAY))
                .with("train.checkpointEvery", "1");
    }

    /** The weights, what is said of them, and what is drawn do not depend on the averages. */
    @ParameterizedTest
    @ValueSource(strings = {"luq", "int8-fallback:block=16"})
    void weightsAreTheSameWithAndWithout(String quantizer) {
        RunResult without = train("without", config(quantizer), Start.NEW);
        RunResult with = train("with", averaging(quantizer), Start.NEW);
        assertEquals(RunResult.Status.COMPLETED, with.status(), with.message());
        for (CheckpointFile file : List.of(CheckpointFile.MODEL, CheckpointFile.OPTIMIZER, CheckpointFile.QUANTIZER)) {
            Map<String, float[]> expected = tensors("without", STEPS, file);
            Map<String, float[]> actual = tensors("with", STEPS, file);
            assertEquals(expected.keySet(), actual.keySet());
            expected.forEach((name, values) -> assertArrayEquals(values, actual.get(name), name));
        }
        assertEquals(without.finalValidationLoss(), with.finalValidationLoss());
        assertEquals(without.finalTrainLoss(), with.finalTrainLoss());
        assertFalse(Files.exists(checkpoint("without", STEPS).file(CheckpointFile.AVERAGES)));
        assertEquals(Map.of(), without.evaluations().getLast().averages());
    }

    @ParameterizedTest
    @ValueSource(ints = {3, 4, 7})
    void brokenRunHasTheSameBits(int questions) {
        RunConfig config = averaging("int8-fallback:block=16");
        train("whole", config, Start.NEW);
        RunResult broken = train("broken", config, Start.NEW, questions);
        assertEquals(RunResult.Status.INTERRUPTED, broken.status());
        train("broken", config, Start.RESUME);
        snapshot("broken").assertSameAs(snapshot("whole"));
    }

    @Test
    void lostAveragesAreSeenByTheComparison() throws IOException {
        RunConfig config = averaging("luq");
        train("whole", config, Start.NEW);
        train("broken", config, Start.NEW, 2);
        Checkpoint checkpoint = new Checkpoint(
                folder.resolve("broken/checkpoints")
                        .resolve(names(folder.resolve("broken/checkpoints")).getLast()),
                0);
        Files.copy(
                checkpoint.file(CheckpointFile.MODEL),
                checkpoint.file(CheckpointFile.AVERAGES),
                StandardCopyOption.REPLACE_EXISTING);
        rehash(checkpoint);
        train("broken", config, Start.RESUME);
        assertThrows(AssertionError.class, () -> snapshot("broken").assertSameAs(snapshot("whole")));
    }

    /** A run that is broken off before an evaluation, and goes on with the averages as its weights. */
    @ParameterizedTest
    @ValueSource(strings = {"fp32", "luq"})
    void validationByAveragesIsThatOfAModelWithThem(String quantizer) throws IOException {
        RunConfig config = averaging(quantizer);
        RunResult run = train("run", config, Start.NEW);
        train("broken", config, Start.NEW, 3); // in the evaluation after three steps
        Checkpoint checkpoint = checkpoint("broken", 3);
        Files.copy(
                checkpoint.file(CheckpointFile.AVERAGES),
                checkpoint.file(CheckpointFile.MODEL),
                StandardCopyOption.REPLACE_EXISTING);
        rehash(checkpoint);
        RunResult other = train("broken", config, Start.RESUME);
        Evaluation first = run.evaluations().getFirst();
        assertEquals(3, first.step());
        assertEquals(
                first.score(Evaluation.AVERAGED_LOSS),
                other.evaluations().getFirst().validationLoss());
        assertNotEquals(first.validationLoss(), first.score(Evaluation.AVERAGED_LOSS));
    }

    @Test
    void bothScoresAreReported() {
        RunResult run = train("run", averaging("fp32"), Start.NEW);
        Evaluation last = run.evaluations().getLast();
        assertEquals(Math.exp(last.score(Evaluation.AVERAGED_LOSS)), last.score("emaPerplexity"));
        assertTrue(snapshot("run").metrics().getFirst().endsWith(",emaValidationLoss,emaPerplexity,emaBitsPerByte"));
        assertTrue(snapshot("run").metrics().getLast().contains("," + (float) last.score(Evaluation.AVERAGED_LOSS)));
        assertEquals(last.score(Evaluation.AVERAGED_LOSS), run.summary().get("emaValidationLoss"));
    }

    /** The averages decide: they are what is used then. */
    @Test
    void bestIsThatOfTheAverages() {
        Evaluation early = new Evaluation(1, 2, Double.NaN).withAverages(new Evaluation(1, 1, Double.NaN));
        Evaluation late = new Evaluation(2, 1, Double.NaN).withAverages(new Evaluation(2, 1.5, Double.NaN));
        assertEquals(Optional.of(early), RunHistory.best(List.of(early, late)));
        Evaluation plain = new Evaluation(2, 1, Double.NaN);
        assertEquals(Optional.of(plain), RunHistory.best(List.of(new Evaluation(1, 2, Double.NaN), plain)));
    }

    @Test
    void exportTakesTheAveragesUnlessTheWeightsAreAskedFor() {
        train("run", averaging("fp32"), Start.NEW);
        Checkpoint checkpoint = checkpoint("run", STEPS);
        assertTrue(checkpoint.usesAverages());
        assertArrayEquals(
                tensors("run", STEPS, CheckpointFile.AVERAGES).get("norm.weight"), exported(checkpoint, "averages"));
        assertArrayEquals(
                tensors("run", STEPS, CheckpointFile.MODEL).get("norm.weight"),
                exported(checkpoint.withoutAverages(), "weights"));
        train("plain", config("fp32"), Start.NEW);
        assertFalse(checkpoint("plain", STEPS).usesAverages());
        assertEquals(
                checkpoint("plain", STEPS).file(CheckpointFile.MODEL),
                checkpoint("plain", STEPS).weights());
    }

    private float[] exported(Checkpoint checkpoint, String name) {
        Path file = folder.resolve(name + ".safetensors");
        ModelExport.write(checkpoint, ElementType.F32, Optional.empty(), file);
        try (SafetensorsFile source = SafetensorsFile.open(file)) {
            return source.floats("model.norm.weight");
        }
    }

    /** Makes weights of a layer wrong for one batch, and right again for the next. */
    private static final class Once implements RunFixture.Disturbance {
        static final int BAD = 7;

        private final String name;
        private final float factor;
        private Optional<float[]> good = Optional.empty();

        Once(String name, float factor) {
            this.name = name;
            this.factor = factor;
        }

        @Override
        public void before(Backend backend, Workload workload, int step) {
            Tensor weight = workload.parameters().stream()
                    .filter(p -> p.name().equals(name))
                    .findFirst()
                    .orElseThrow()
                    .value();
            if (step == BAD) {
                float[] values = backend.readFloats(weight);
                good = Optional.of(values.clone());
                for (int i = 0; i < values.length; i++) {
                    values[i] *= factor;
                }
                backend.write(weight, values);
            } else if (step == BAD + 1) {
                good.ifPresent(values -> backend.write(weight, values));
                good = Optional.empty();
            }
        }
    }

    private RunResult disturbed(Once once, RunConfig changes) {
        RunConfig config = RunFixture.Disturbed.config()
                .withSteps(12)
                .with("guard.spikeWindow", "4")
                .with("train.ema", String.valueOf(DECAY))
                .with("train.checkpointEvery", "1")
                .with("train.checkpointKeep", "100")
                .withNonFinite(changes.nonFinite());
        for (Map.Entry<String, String> change : changes.settings().entrySet()) {
            config = config.with(change.getKey(), change.getValue());
        }
        return new RunFolder(folder.resolve("run"), ORIGIN)
                .train(
                        RunFixture.runs(new RunFixture.Disturbed(once)),
                        config,
                        new Breaking(Integer.MAX_VALUE),
                        Start.NEW);
    }

    @Test
    void aStepThatTheDeviceSkipsMovesNothing() {
        RunResult run = disturbed(
                new Once("blocks.0.mlp.down.weight", Float.POSITIVE_INFINITY),
                RunConfig.of("text").withNonFinite(NonFinitePolicy.SKIP));
        assertEquals(1, run.skippedSteps(), run.message());
        assertAverages("run", 12, List.of(Once.BAD));
    }

    @Test
    void aStepThatTheGuardSkipsMovesNothing() {
        RunResult run =
                disturbed(new Once("head.weight", 30), RunConfig.of("text").with("guard.spike", "skip"));
        assertEquals(1, run.skippedSteps(), run.message());
        assertAverages("run", 12, List.of(Once.BAD));
    }

    @Test
    void aRunThatGoesBackTakesItsAveragesAlong() {
        RunResult run = disturbed(
                new Once("head.weight", 30),
                RunConfig.of("text").with("guard.spike", "rollback").with("guard.rollbackEvery", "3"));
        assertTrue(run.events().stream().anyMatch(event -> event.action() == GuardAction.ROLLBACK), run.message());
        assertEquals(RunResult.Status.COMPLETED, run.status(), run.message());
        assertAverages("run", 12, List.of());
    }

    @Test
    void decaysOutOfRangeAreRefused() {
        for (String decay : List.of("1", "-0.1")) {
            IllegalArgumentException e = assertThrows(
                    IllegalArgumentException.class,
                    () -> runs.check(config("fp32").with("train.ema", decay)));
            assertTrue(e.getMessage().contains("train.ema is "), e.getMessage());
            assertTrue(e.getMessage().contains("but must be in [0, 1)"), e.getMessage());
        }
    }

    @Test
    void noDecayIsNoAveragesHoweverItIsWritten() {
        for (String none : List.of("0", "0.0", "-0", "0e0", "1e-60")) {
            assertFalse(TrainingSettings.keepsAverages(Map.of("train.ema", none)), none);
        }
        assertFalse(TrainingSettings.keepsAverages(Map.of()));
        assertTrue(TrainingSettings.keepsAverages(Map.of("train.ema", "9e-1")));
    }

    @Test
    void aRunGoesOnWithItsOwnDecayAlone() {
        train("run", averaging("fp32"), Start.NEW, 2);
        IllegalArgumentException e = assertThrows(
                IllegalArgumentException.class,
                () -> train("run", averaging("fp32").with("train.ema", "0.5"), Start.RESUME));
        assertTrue(e.getMessage().contains("train.ema is 0.5 here, but 0.4 there"), e.getMessage());
    }

    @Test
    void aCheckpointThatSaysNothingOfAveragesHasNone() {
        ResolvedConfiguration now = runs.prepare(config("fp32")).configuration();
        SortedMap<String, String> settings = new TreeMap<>(now.settings());
        settings.remove("train.ema");
        ResolvedConfiguration then =
                new ResolvedConfiguration(now.preset(), now.seed(), now.steps(), now.backend(), settings, now.layers());
        assertEquals(List.of(), now.differences(then));
        assertEquals(
                List.of("train.ema is 0.4 here, but (none) there"),
                runs.prepare(averaging("fp32")).configuration().differences(then));
    }
}
