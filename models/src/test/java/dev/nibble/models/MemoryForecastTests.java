package dev.nibble.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.models.data.IdxFiles;
import dev.nibble.spi.MemoryLayout;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What is predicted before the first step is what the allocator then holds. */
class MemoryForecastTests {
    private final Runs runs = Runs.create();

    private MemoryForecast forecast(RunConfig config) {
        return forecast(config, MemoryLayout.HOST);
    }

    private MemoryForecast forecast(RunConfig config, MemoryLayout layout) {
        PreparedRun run = runs.prepare(config);
        return MemoryForecast.of(run.task(), run.precision(), run.recomputes(), config.seed(), layout);
    }

    private static RunConfig text(String quantizer, int width, int hidden, int sequence) {
        return RunFixture.tiny()
                .withQuantizer(QuantizerChoice.parse(quantizer))
                .with("model.width", String.valueOf(width))
                .with("model.hidden", String.valueOf(hidden))
                .with("data.sequence", String.valueOf(sequence))
                .withSteps(2);
    }

    /** Every byte on the host: more than the 5 % that a user may rely on. */
    private RunMemory assertExact(RunConfig config) {
        List<MemoryForecast> told = new ArrayList<>();
        RunResult result = runs.train(config, new RunListener() {
            @Override
            public void started(RunInfo info) {
                info.memory().ifPresent(told::add);
            }
        });
        assertEquals(RunResult.Status.COMPLETED, result.status(), result.message());
        RunMemory memory = result.memory().orElseThrow();
        assertEquals(List.of(memory.forecast()), told, "known when the run starts");
        String what = config.quantizer().label() + " " + config.settings();
        for (RunMemory.Row row : memory.rows()) {
            if (row.name().equals("held")) {
                assertTrue(row.measured().orElseThrow() >= memory.peakBytes(), what + ": " + memory);
            } else if (!row.name().equals("peak")) {
                assertEquals(row.predicted(), row.measured().orElseThrow(), what + ": " + row.name());
            }
        }
        assertEquals(result.savedActivationBytes(), memory.forecast().savedActivations(), what);
        long byTensor = memory.forecast().savedByTensor().values().stream()
                .mapToLong(bytes -> bytes)
                .sum();
        assertEquals(result.savedActivationBytes(), byTensor, what);
        return memory;
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "fp32",
                "bf16",
                "int8-row",
                "int8-block",
                "int8-block:block=32",
                "int8-block:contextBits=12",
                "int8-fallback",
                "int8-fallback:block=16x32,contextBits=8",
                "int8-fallback:residualInGradWeight=true,contextBits=32",
                "luq",
                "luq:samplesGradWeight=2",
                "int4",
                "int4:hadamard=none",
                "fp8"
            })
    void textHoldsWhatIsPredicted(String quantizer) {
        assertExact(text(quantizer, 64, 96, 16));
        assertExact(text(quantizer, 36, 52, 13)); // no multiple of a block
        assertExact(text(quantizer, 144, 160, 130)); // more than one block
    }

    @ParameterizedTest
    @ValueSource(strings = {"fp32", "int8-fallback", "int4"})
    void quantizedAttentionHoldsWhatIsPredicted(String quantizer) {
        assertExact(text(quantizer, 64, 96, 16).with("model.attention", "quantized"));
    }

    @Test
    void everyMicroBatchAndFineTuningAreForeseen() {
        assertExact(text("luq", 64, 96, 16).with("train.microBatches", "3").with("train.fineTuneSteps", "2"));
    }

    @Test
    void averagesHoldWhatIsPredicted(@TempDir Path folder) throws IOException {
        RunConfig config = text("luq", 64, 96, 16).with("train.ema", "0.9");
        RunMemory memory = assertExact(config);
        assertEquals(3 * memory.forecast().weights(), memory.forecast().optimizer());
        assertEquals(
                memory.forecast().weights(),
                memory.forecast().peak() - forecast(text("luq", 64, 96, 16)).peak());
        IdxFiles.writePatterns(folder, 40, 10);
        assertExact(RunConfig.of("resnet")
                .with("data.path", folder.toString())
                .with("data.classes", "4")
                .with("data.batch", "10")
                .with("model.blocks", "1")
                .with("train.ema", "0.9")
                .withSteps(2));
    }

    @Test
    void layersOfDifferentQuantizersHoldWhatIsPredicted() {
        assertExact(text("int8-fallback", 64, 96, 16)
                .with("layers.blocks.*.mlp.down", "fp8")
                .with("layers.blocks.*.attn.out", "fp32"));
    }

    @ParameterizedTest
    @ValueSource(strings = {"fp32", "int8-fallback", "int8-row", "luq", "int4", "fp8"})
    void imagesHoldWhatIsPredicted(String quantizer, @TempDir Path folder) throws IOException {
        IdxFiles.writePatterns(folder, 100, 20);
        for (String width : List.of("32", "132")) {
            assertExact(RunConfig.of("images")
                    .with("data.path", folder.toString())
                    .with("data.classes", "4")
                    .with("data.batch", "20")
                    .with("model.patch", "4")
                    .with("model.width", width)
                    .with("model.heads", "2")
                    .with("model.hidden", "50")
                    .with("model.layers", "2")
                    .withQuantizer(QuantizerChoice.parse(quantizer))
                    .withSteps(2));
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"fp32", "int8-fallback:block=16", "luq"})
    void resNetsHoldWhatIsPredicted(String quantizer, @TempDir Path folder) throws IOException {
        IdxFiles.writePatterns(folder, 40, 10);
        assertExact(RunConfig.of("resnet")
                .with("data.path", folder.toString())
                .with("data.classes", "4")
                .with("data.batch", "10")
                .with("model.blocks", "1")
                .withQuantizer(QuantizerChoice.parse(quantizer))
                .withSteps(2));
    }

    @ParameterizedTest
    @ValueSource(strings = {"fp32", "int8-fallback", "luq"})
    void encodersHoldWhatIsPredicted(String quantizer) {
        assertExact(RunConfig.of("classify")
                .with("model.width", "64")
                .with("model.hidden", "128")
                .with("data.batch", "2")
                .with("data.sequence", "16")
                .withQuantizer(QuantizerChoice.parse(quantizer))
                .withSteps(2));
    }

    /** Texts differ in length: which come first, the seed says; the peak is that of the longest ones. */
    @ParameterizedTest
    @ValueSource(strings = {"fp32", "int8-fallback"})
    void taggersHoldWhatIsPredictedUnderAnySeed(String quantizer, @TempDir Path folder) throws IOException {
        StringBuilder conll = new StringBuilder();
        for (int i = 0; i < 40; i++) {
            conll.append("w O\n".repeat(1 + 7 * (i % 5))).append("v B-X\n\n");
        }
        Path data = Files.writeString(folder.resolve("d.conll"), conll);
        RunConfig config = RunConfig.of("tag")
                .with("data.path", data.toString())
                .with("data.classes", "2")
                .with("model.width", "64")
                .with("model.hidden", "128")
                .with("data.batch", "3")
                .with("data.sequence", "80")
                .withQuantizer(QuantizerChoice.parse(quantizer))
                .withSteps(2);
        long peak = 0;
        for (int seed : new int[] {0, 1, 2}) {
            RunMemory memory = assertExact(config.withSeed(seed));
            assertTrue(peak == 0 || peak == memory.forecast().peak(), "the longest texts are the same");
            peak = memory.forecast().peak();
        }
    }

    /** The portable and the plain backend hold the same tensors. */
    @ParameterizedTest
    @ValueSource(strings = {"reference", "cpu-portable"})
    void otherBackendsOnTheHostHoldTheSame(String backend) {
        assertExact(text("int8-fallback", 64, 96, 16).withBackend(backend));
    }

    /** What operations work in is some 2 MiB a thread on a host, which at this size is within a tenth. */
    @Test
    void peakIsThatOfTheTensors() {
        RunMemory memory = assertExact(text("int8-fallback", 256, 704, 128));
        assertTrue(memory.peakBytes() >= memory.forecast().peak(), memory.toString());
        assertTrue(memory.peakBytes() <= memory.forecast().peak() * 1.1, memory.toString());
    }

    @Test
    void weightsAndMomentsAreThoseOfTheModel() {
        MemoryForecast forecast = forecast(text("luq", 64, 96, 16));
        assertEquals(2 * forecast.weights(), forecast.optimizer());
        assertEquals(forecast.weights(), forecast.gradients());
        // 4 bits a weight of the four linear layers, and a scale for each of two operands
        long weights = 64L * 3 * 64 + 64 * 64 + 64 * 2 * 96 + 96 * 64;
        assertEquals(weights / 2 + 4 * 2 * 4, forecast.weightCodes());
    }

    /** Eight layers of width 512, SwiGLU of 1408, 256 tokens: q, k, v and attention's output in BF16, the rest in 8 to 10 bits. */
    @Test
    void fallbackSavesMoreThanHalf() {
        long fp32 = forecast(eightLayers("fp32")).savedActivations();
        long packed = forecast(eightLayers("int8-fallback")).savedActivations();
        assertTrue(packed <= 0.43 * fp32, packed + " of " + fp32);
        assertTrue(packed >= 0.3 * fp32, packed + " of " + fp32);
    }

    /** Bytes that backend cuda was measured to hold on an H100; it writes codes for each contraction, padded to 128. */
    @ParameterizedTest
    @CsvSource({
        "fp32, 73483264, 11008",
        "int8-fallback, 25633792, 84736",
    })
    void deviceThatPadsHoldsWhatIsPredicted(String quantizer, long saved, long state) {
        MemoryForecast forecast = forecast(eightLayers(quantizer), new MemoryLayout(true, 128, 256));
        assertEquals(saved, forecast.savedActivations());
        assertEquals(state, forecast.state());
    }

    @ParameterizedTest
    @CsvSource({
        "fp32, 151199744, 15470848",
        "fp8, 113455104, 8925440",
        "int4, 107163648, 5714176",
        "luq, 107163648, 5714176",
        "int8-row, 113474560, 8983808",
        "int8-fallback, 53916672, 8925440"
    })
    void presetTextOnADeviceHoldsWhatIsPredicted(String quantizer, long saved, long codes) {
        RunConfig config = RunConfig.of("text").withQuantizer(QuantizerChoice.parse(quantizer));
        MemoryForecast forecast = forecast(config, new MemoryLayout(true, 128, 256));
        assertEquals(saved, forecast.savedActivations());
        assertEquals(codes, forecast.weightCodes() + forecast.workspace());
    }

    @Test
    void paddingAndQuantizedAttentionOnADeviceAreForeseen() {
        MemoryLayout device = new MemoryLayout(true, 128, 256);
        MemoryForecast odd = forecast(
                RunConfig.of("text")
                        .withQuantizer(QuantizerChoice.parse("int8-fallback"))
                        .with("model.width", "200")
                        .with("model.hidden", "300"),
                device);
        assertEquals(37023744, odd.savedActivations());
        assertEquals(5859328, odd.weights());
        assertEquals(6304000, odd.weightCodes() + odd.workspace());
        MemoryForecast attention = forecast(
                RunConfig.of("text")
                        .withQuantizer(QuantizerChoice.parse("int4"))
                        .with("model.attention", "quantized")
                        .with("data.batch", "2"),
                device);
        assertEquals(17609728, attention.savedActivations());
        assertEquals(88832, attention.state());
        assertEquals(3879168, attention.weightCodes() + attention.workspace());
    }

    private static RunConfig eightLayers(String quantizer) {
        return RunConfig.of("text")
                .withQuantizer(QuantizerChoice.parse(quantizer))
                .with("model.layers", "8")
                .with("model.width", "512")
                .with("model.heads", "8")
                .with("model.hidden", "1408")
                .with("data.batch", "1")
                .with("data.sequence", "256");
    }
}
