package dev.nibble.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.error.FormatException;
import dev.nibble.error.NibbleException;
import dev.nibble.models.data.IdxFiles;
import dev.nibble.models.train.TaskKind;
import dev.nibble.report.ExecutionRow;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.Plugins;
import dev.nibble.tensor.MemoryTag;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

class ImagesPresetTests {
    private static final int TEST_IMAGES = 130; // batches of 32, and one of 2

    @TempDir
    static Path folder;

    private final Runs runs = Runs.create();

    @BeforeAll
    static void writeImages() throws IOException {
        IdxFiles.writePatterns(folder, 500, TEST_IMAGES);
    }

    static List<String> quantizers() {
        return Plugins.quantizers().names();
    }

    /** One block of width 32 on 32 images of 4 patches: milliseconds a step. */
    private static RunConfig tiny() {
        return RunConfig.of("images")
                .with("data.path", folder.toString())
                .with("data.classes", "4")
                .with("data.batch", "32")
                .with("model.patch", "4")
                .with("model.width", "32")
                .with("model.heads", "2")
                .with("model.hidden", "48")
                .with("model.layers", "1")
                .with("train.learningRate", "0.01")
                .with("train.warmup", "2")
                .withSteps(4);
    }

    private RunResult completed(RunConfig config) {
        RunResult result = runs.train(config, RunListener.SILENT);
        assertEquals(RunResult.Status.COMPLETED, result.status(), result.message());
        return result;
    }

    private String problem(RunConfig config) {
        return assertThrows(IllegalArgumentException.class, () -> runs.check(config))
                .getMessage();
    }

    /** Chance gives a quarter. */
    @ParameterizedTest
    @CsvSource({"swiglu,rms", "relu,rms", "gelu,deit"})
    void smallModelLearnsInSeconds(String mlp, String style) {
        RunResult result = completed(tiny().withSteps(60).with("model.mlp", mlp).with("model.style", style));
        assertTrue(result.finalTrainLoss() < 0.1, "train loss " + result.finalTrainLoss());
        assertTrue(result.finalValidationLoss() < 0.2, "validation loss " + result.finalValidationLoss());
        assertTrue(result.finalValidationAccuracy() > 0.95, "accuracy " + result.finalValidationAccuracy());
        assertEquals(TaskKind.CLASSIFICATION, result.kind());
    }

    @ParameterizedTest
    @ValueSource(strings = {"fp32", "int8-fallback:block=16"})
    void deitStyleHoldsWhatIsPredicted(String quantizer) {
        RunConfig config = tiny().with("model.mlp", "gelu").with("model.style", "deit");
        RunResult result = completed(config.withQuantizer(QuantizerChoice.parse(quantizer)));
        RunMemory memory = result.memory().orElseThrow();
        assertEquals(memory.forecast().savedActivations(), result.savedActivationBytes());
    }

    @Test
    void augmentationIsAFunctionOfTheSeedAndChangesTheRun() {
        RunConfig config = tiny().with("data.augment", "crop, flip").with("data.cropPadding", "2");
        RunResult augmented = completed(config);
        List<Double> losses = augmented.curve().stream().map(StepRecord::loss).toList();
        assertEquals(
                losses, completed(config).curve().stream().map(StepRecord::loss).toList());
        assertNotEquals(
                losses, completed(tiny()).curve().stream().map(StepRecord::loss).toList());
        assertNotEquals(
                losses,
                completed(config.with("data.augment", "crop")).curve().stream()
                        .map(StepRecord::loss)
                        .toList());
        String several = problem(tiny().with("data.augment", "crop,turn").with("data.cropPadding", "0"));
        assertTrue(several.contains("setting data.augment has 'turn'; known: none, crop, flip"), several);
        assertTrue(several.contains("setting data.cropPadding is 0, but must be in 1..1024"), several);
        assertTrue(problem(tiny().with("data.augment", "none,flip")).contains("none stands alone"));
    }

    @Test
    void augmentedRunIsResumedToTheSameBits() {
        RunConfig config = tiny().with("data.augment", "crop,flip").with("data.batch", "200"); // three epochs
        RunOrigin origin = new RunOrigin("test", "1", List.of(), Map.of());
        RunResult whole =
                new RunFolder(folder.resolve("whole"), origin).train(runs, config, RunListener.SILENT, Start.NEW);
        RunFolder broken = new RunFolder(folder.resolve("broken"), origin);
        RunListener breaking = new RunListener() {
            private int questions;

            @Override
            public boolean stopRequested() {
                questions++;
                return questions == 2;
            }
        };
        assertEquals(
                RunResult.Status.INTERRUPTED,
                broken.train(runs, config, breaking, Start.NEW).status());
        RunResult resumed = broken.train(runs, config, RunListener.SILENT, Start.RESUME);
        assertEquals(4, resumed.curve().size());
        assertEquals(
                whole.curve().stream().map(StepRecord::loss).toList(),
                resumed.curve().stream().map(StepRecord::loss).toList());
        assertEquals(whole.evaluations(), resumed.evaluations());
    }

    @ParameterizedTest
    @MethodSource("quantizers")
    void everyQuantizerLearnsInItsOwnFormat(String quantizer) {
        RunConfig config = tiny().withQuantizer(QuantizerChoice.of(quantizer))
                .withBackend("cpu-portable") // a strict run on cpu needs the native library, which not every build has
                .withStrict(true)
                .withSteps(60);
        RunResult result = completed(config);
        assertTrue(result.finalValidationAccuracy() > 0.8, quantizer + ": " + result.finalValidationAccuracy());
        for (String layer : runs.layerNames(config)) {
            List<ExecutionRow> rows = result.execution().stream()
                    .filter(row -> row.layer().equals(layer))
                    .toList();
            Set<String> products = rows.stream().map(ExecutionRow::product).collect(Collectors.toSet());
            assertEquals(Set.of("output", "gradInput", "gradWeight"), products, layer);
            boolean own = layer.equals("patch") || layer.equals("head");
            for (ExecutionRow row : rows) {
                boolean wide = row.storedFormat().contains("fp32");
                assertEquals(own || quantizer.equals("fp32"), wide, row.toString());
            }
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"int4", "luq", "int8-fallback"})
    void attentionProductsAreQuantizedIfAskedFor(String quantizer) {
        RunConfig config = tiny().withQuantizer(QuantizerChoice.of(quantizer))
                .with("model.attention", "quantized")
                .withSteps(60);
        RunResult result = completed(config);
        assertTrue(result.finalValidationAccuracy() > 0.8, quantizer + ": " + result.finalValidationAccuracy());
        for (String layer : List.of("blocks.0.attn.scores", "blocks.0.attn.mix")) {
            assertTrue(runs.layerNames(config).contains(layer));
            List<ExecutionRow> rows = result.execution().stream()
                    .filter(row -> row.layer().equals(layer))
                    .toList();
            assertEquals(3, rows.size(), rows.toString());
            rows.forEach(row -> assertTrue(!row.storedFormat().contains("fp32"), row.toString()));
        }
    }

    /** Only the images say how many tokens attention has. */
    @Test
    void quantizedAttentionNeedsTheDataForItsSize() {
        RunConfig config = RunConfig.of("images").with("model.attention", "quantized");
        assertEquals(
                "preset images has no data, but needs a folder with IDX files; name it with --data DIR",
                problem(config));
    }

    @ParameterizedTest
    @MethodSource("quantizers")
    void sameSeedGivesTheSameNumbersToTheLastBitOnAnyNumberOfThreads(String quantizer) {
        RunConfig config =
                tiny().withSeed(5).withQuantizer(QuantizerChoice.of(quantizer)).with("train.microBatches", "2");
        List<Double> first = numbers(config.withThreads(1));
        for (int threads = 1; threads <= 3; threads++) {
            assertEquals(first, numbers(config.withThreads(threads)), threads + " threads");
        }
        assertNotEquals(first, numbers(config.withSeed(6)));
    }

    private List<Double> numbers(RunConfig config) {
        RunResult result = completed(config);
        List<Double> numbers =
                new ArrayList<>(result.curve().stream().map(StepRecord::loss).toList());
        numbers.add(result.finalValidationLoss());
        numbers.add(result.finalValidationAccuracy());
        return numbers;
    }

    /** An epoch of 500 images has 15 and a bit of batches of 32: the run is broken off in the second. */
    @Test
    void resumedRunHasTheBitsOfOneWithoutABreak(@TempDir Path runFolder) {
        RunConfig config = tiny().withSteps(20)
                .withQuantizer(QuantizerChoice.of("int8-fallback"))
                .with("train.evaluateEvery", "7");
        RunOrigin origin = new RunOrigin("test", "1", List.of(), Map.of());
        RunListener breaking = new RunListener() {
            private int steps;

            @Override
            public void step(StepRecord step) {
                steps++;
            }

            @Override
            public boolean stopRequested() {
                return steps == 17;
            }
        };
        new RunFolder(runFolder.resolve("whole"), origin).train(runs, config, RunListener.SILENT, Start.NEW);
        RunFolder broken = new RunFolder(runFolder.resolve("broken"), origin);
        assertEquals(
                RunResult.Status.INTERRUPTED,
                broken.train(runs, config, breaking, Start.NEW).status());
        RunResult result = broken.train(runs, config, RunListener.SILENT, Start.RESUME);
        assertEquals(RunResult.Status.COMPLETED, result.status(), result.message());
        new RunSnapshot(runFolder.resolve("broken"), 20).assertSameAs(new RunSnapshot(runFolder.resolve("whole"), 20));
    }

    @Test
    void referenceBackendGivesTheSameNumbers() {
        RunConfig config = tiny().with("model.mlp", "relu").withSteps(2);
        assertEquals(numbers(config.withBackend("cpu")), numbers(config.withBackend("reference")));
    }

    /** With a learning rate that moves no weight, an evaluation does not depend on how the images fall into batches. */
    @Test
    void evaluationCountsEveryTestImageOnce() {
        RunConfig still = tiny().withSteps(1).with("train.learningRate", "1e-30");
        RunResult inOne = completed(still.with("data.batch", "130"));
        for (int batch : new int[] {32, 129, 200}) { // 32: the last batch has two images, 129: it has one
            RunResult split = completed(still.with("data.batch", String.valueOf(batch)));
            assertEquals(inOne.finalValidationAccuracy(), split.finalValidationAccuracy());
            // at most five batches: each part and each sum is rounded once, the weight of the batch too
            assertEquals(inOne.finalValidationLoss(), split.finalValidationLoss(), 3 * 5 * 0x1p-24 * 10);
        }
        double right = inOne.finalValidationAccuracy() * TEST_IMAGES;
        assertEquals(Math.rint(right), right, 1e-9);
        double few = completed(still.with("data.validationImages", "3")).finalValidationAccuracy();
        assertEquals(Math.rint(3 * few), 3 * few, 1e-9);
    }

    @Test
    void metricsHaveTheAccuracy(@TempDir Path out) throws IOException {
        RunOrigin origin = new RunOrigin("test", "1", List.of(), Map.of());
        RunResult result =
                new RunFolder(out, origin).train(runs, tiny().with("train.evaluateEvery", "2"), RunListener.SILENT);
        List<String> rows = Files.readAllLines(out.resolve("metrics.csv"));
        assertEquals(
                "step,trainLoss,learningRate,gradientNorm,skipped,samplesPerSecond,elapsedSeconds,validationLoss,validationAccuracy",
                rows.getFirst());
        assertEquals(2, result.evaluations().size());
        for (int step = 0; step < 4; step++) {
            String[] cells = rows.get(1 + step).split(",", -1);
            assertEquals(9, cells.length);
            String expected = step % 2 == 0
                    ? ""
                    : String.valueOf((float) result.evaluations().get(step / 2).validationAccuracy());
            assertEquals(expected, cells[8]);
        }
        assertTrue(Files.readString(out.resolve("run.json"))
                .contains("\"validationAccuracy\" : " + result.finalValidationAccuracy()));
    }

    @Test
    void nothingIsLeftOpenBetweenSteps() {
        RunFixture.WatchedBackends watched = new RunFixture.WatchedBackends();
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
                var memory = watched.opened.getLast().memory();
                assertEquals(0, memory.live(MemoryTag.CONTEXT));
                assertEquals(0, memory.live(MemoryTag.SCRATCH));
            }
        };
        Runs watching = RunFixture.runs(watched);
        watching.train(tiny(), listener);
        watching.train(tiny().with("model.mlp", "relu").withQuantizer(QuantizerChoice.of("bf16")), listener);
        assertEquals(2, watched.opened.size());
        for (var backend : watched.opened) {
            for (MemoryTag tag : MemoryTag.values()) {
                assertEquals(0, backend.memory().live(tag), tag.name());
            }
        }
    }

    @Test
    void savedActivationsAreCountedFromTheAllocator() {
        // fp32: patches of 16 pixels; residual streams, operands, q k v, attention's output, up; the mean and its norm
        long tokens = 32 * 4;
        long perToken = 16 + 2 * 32 + 32 + 3 * 32 + 32 + 32 + 48;
        long perImage = 32 + 32;
        long scalars = 2 * tokens + 32 + 2 * tokens; // inverse RMS of three norms, log-sum-exp of two heads
        RunResult result = completed(tiny().withSteps(1).with("model.mlp", "relu"));
        assertEquals(4 * (tokens * perToken + 32 * perImage + scalars), result.savedActivationBytes());
    }

    @Test
    void everyProductOfTheDefaultsIsWholeBlocks() {
        Preset preset = runs.preset("images");
        SettingValues values = SettingValues.of(preset.settings(), Map.of());
        int patch = values.integer("model.patch");
        assertEquals(0, 28 % patch);
        assertEquals(0, values.integer("data.batch") * (28 / patch) * (28 / patch) % 128);
        List<LinearLayer> projections = preset.layers(values).stream()
                .filter(layer -> preset.ownQuantizer(layer).isEmpty())
                .toList();
        assertEquals(4 * values.integer("model.layers"), projections.size());
        for (LinearLayer layer : projections) {
            assertEquals(0, layer.in() % 128, layer.toString());
            assertEquals(0, layer.out() % 128, layer.toString());
        }
    }

    @Test
    void layersAreListedWithoutData() {
        List<String> names = runs.layerNames(RunConfig.of("images").with("model.mlp", "relu"));
        assertEquals("patch", names.getFirst());
        assertEquals("blocks.0.mlp.up", names.get(3));
        assertEquals("head", names.getLast());
    }

    @Test
    void settingsThatDoNotFitAreRefused() {
        assertTrue(problem(RunConfig.of("images")).contains("preset images has no data"));
        assertTrue(problem(tiny().with("model.mlp", "tanh"))
                .contains("setting model.mlp is 'tanh'; known: swiglu, relu, gelu, gelu_tanh"));
        assertTrue(
                problem(tiny().with("data.batch", "0")).contains("setting data.batch is 0, but must be in 1..1048576"));
        assertTrue(problem(tiny().with("data.validationImages", "131")).contains("must be in 1..130"));
        assertTrue(problem(tiny().with("data.classes", "257")).contains("classes is 257"));
        assertTrue(problem(tiny().with("model.patch", "3"))
                .contains("patch is 3, but must divide the sides of the images, 8x8"));
        String both = problem(RunConfig.of("images").withQuantizer(QuantizerChoice.of("fp23")));
        assertTrue(both.contains("preset images has no data") && both.contains("'fp23'"), both);
    }

    @Test
    void missingAndDamagedDataAreReportedBeforeAnythingStarts(@TempDir Path other) throws IOException {
        NibbleException missing =
                assertThrows(NibbleException.class, () -> runs.check(tiny().with("data.path", other.toString())));
        assertTrue(missing.getMessage().contains("has no train-images-idx3-ubyte"), missing.getMessage());
        IdxFiles.writePatterns(other, 2, 2);
        Files.write(other.resolve("t10k-images-idx3-ubyte"), new byte[10]);
        assertThrows(FormatException.class, () -> runs.check(tiny().with("data.path", other.toString())));
        // a wrong option is told first
        assertTrue(problem(tiny().with("data.path", other.toString()).withBackend("cpuu"))
                .contains("'cpuu'"));
    }
}
