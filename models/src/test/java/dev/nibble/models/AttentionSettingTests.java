package dev.nibble.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.error.StrictException;
import dev.nibble.report.ExecutionRow;
import dev.nibble.spi.Plugins;
import dev.nibble.tensor.DType;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** {@code model.attention} in the preset text; ImagesPresetTests has images. */
class AttentionSettingTests {
    private static final String PATH = "model.attention";
    private static final List<String> PRODUCTS = List.of("blocks.0.attn.scores", "blocks.0.attn.mix");

    private final Runs runs = Runs.create();

    static List<String> quantizers() {
        return Plugins.quantizers().names();
    }

    private RunResult completed(RunConfig config) {
        RunResult result = runs.train(config, RunListener.SILENT);
        assertEquals(RunResult.Status.COMPLETED, result.status(), result.message());
        return result;
    }

    private static List<ExecutionRow> rows(RunResult result, String layer) {
        return result.execution().stream()
                .filter(row -> row.layer().equals(layer))
                .toList();
    }

    /** {@return losses, norms, and what each layer's input and state were, with all digits} */
    private static List<String> trace(RunResult result) {
        List<String> trace = result.curve().stream()
                .map(step -> step.loss() + " " + step.gradientNorm())
                .collect(Collectors.toList());
        result.telemetry().forEach(row -> trace.add(row.toString()));
        trace.add(String.valueOf(result.finalValidationLoss()));
        return trace;
    }

    @ParameterizedTest
    @MethodSource("quantizers")
    void everyQuantizerTrainsWithAttentionInItsFormat(String quantizer) {
        RunResult result = completed(RunFixture.tiny()
                .withQuantizer(QuantizerChoice.of(quantizer))
                .with(PATH, "quantized")
                .with("train.learningRate", "0.01")
                .withSteps(30));
        double first = result.curve().getFirst().loss();
        // knowing only how often each byte occurs gives 3.1 nats; guessing gives ln 256 = 5.5
        assertTrue(result.finalTrainLoss() < first - 1.5, quantizer + ": " + first + " to " + result.finalTrainLoss());
        for (String layer : PRODUCTS) {
            List<ExecutionRow> rows = rows(result, layer);
            Set<String> products = rows.stream().map(ExecutionRow::product).collect(Collectors.toSet());
            assertEquals(Set.of("output", "gradInput", "gradWeight"), products, layer);
            for (ExecutionRow row : rows) {
                assertFalse(row.differs(), row.toString());
                assertEquals(quantizer.equals("fp32"), row.storedFormat().contains("fp32"), row.toString());
            }
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"int4", "luq:hindsight=0.1", "int8-fallback:block=16", "fp8"})
    void referenceAndProcessorAgreeToTheLastBit(String quantizer) {
        RunConfig config = RunFixture.tiny()
                .withQuantizer(QuantizerChoice.parse(quantizer))
                .with(PATH, "quantized")
                .with("model.layers", "2")
                .with("train.microBatches", "2")
                .with("train.telemetryEvery", "1")
                .withSteps(3);
        assertEquals(
                trace(completed(config.withBackend("reference"))),
                trace(completed(config.withBackend("cpu").withThreads(2))));
    }

    @Test
    void offByDefault() {
        RunConfig config = RunFixture.tiny().withQuantizer(QuantizerChoice.of("int8-block"));
        RunResult result = completed(config);
        assertEquals(trace(completed(config.with(PATH, "fp32"))), trace(result));
        assertTrue(runs.layerNames(config).stream().noneMatch(PRODUCTS::contains));
        PRODUCTS.forEach(layer -> assertEquals(List.of(), rows(result, layer)));
        assertNotEquals(trace(result), trace(completed(config.with(PATH, "quantized"))));
    }

    @Test
    void productsAreLayersForOverridesAndTelemetry() {
        RunConfig config = RunFixture.tiny()
                .withQuantizer(QuantizerChoice.of("int4"))
                .with(PATH, "quantized")
                .with("layers.blocks.*.attn.mix", "fp32")
                .with("train.telemetryEvery", "1");
        assertEquals(
                List.of(
                        "blocks.0.attn.qkv",
                        "blocks.0.attn.scores",
                        "blocks.0.attn.mix",
                        "blocks.0.attn.out",
                        "blocks.0.mlp.gateUp",
                        "blocks.0.mlp.down",
                        "head"),
                runs.layerNames(config));
        RunResult result = completed(config);
        rows(result, "blocks.0.attn.mix")
                .forEach(row -> assertEquals("fp32 x fp32", row.storedFormat(), row.toString()));
        rows(result, "blocks.0.attn.scores")
                .forEach(row -> assertTrue(row.storedFormat().endsWith("int4 x int4"), row.toString()));
        List<LayerTelemetry> scores = result.telemetry().stream()
                .filter(row -> row.layer().equals("blocks.0.attn.scores"))
                .toList();
        assertEquals(4, scores.size());
        for (LayerTelemetry row : scores) {
            assertTrue(row.amax() > 0, row.toString());
            assertTrue(row.state().get("stepX") > 0, row.toString());
        }
        assertNotEquals(
                scores.getFirst().state().get("stepX"), scores.getLast().state().get("stepX")); // it learns
    }

    /** Under a mask the second product has no transform, so it has no block size to show. */
    @Test
    void telemetryLeavesOutStateThatNothingReads() {
        RunResult result = completed(RunFixture.tiny()
                .withQuantizer(QuantizerChoice.of("int4"))
                .with(PATH, "quantized")
                .with("train.telemetryEvery", "1"));
        for (LayerTelemetry row : result.telemetry()) {
            boolean transformed = !row.layer().equals("head") && !row.layer().endsWith("attn.mix");
            assertEquals(
                    transformed,
                    row.state().keySet().stream().anyMatch(name -> name.startsWith("hadamard")),
                    row.toString());
            assertEquals(!row.layer().equals("head"), row.state().containsKey("stepX"), row.toString());
        }
    }

    @Test
    void attentionInBf16IsAskedOfTheBackend() {
        assertEquals(DType.FP32, RunFixture.tiny().backendOptions().attention());
        assertEquals(
                DType.BF16,
                RunFixture.tiny().with(PATH, "bf16").backendOptions().attention());
    }

    @Test
    void aBackendWithoutItComputesInFp32AndSaysSo() {
        RunConfig config = RunFixture.tiny().withSteps(2);
        RunResult asked = completed(config.with(PATH, "bf16"));
        assertEquals(trace(completed(config)), trace(asked));
        ExecutionRow row = rows(asked, "attention").getFirst();
        assertTrue(row.differs() && row.storedFormat().equals("fp32 x fp32"), row.toString());
        assertTrue(row.reason().contains("has attention in FP32 only"), row.reason());
    }

    @Test
    void aStrictRunRefusesABackendWithoutIt() {
        RunConfig config =
                RunFixture.tiny().with(PATH, "bf16").withBackend("reference").withStrict(true);
        StrictException e = assertThrows(StrictException.class, () -> runs.train(config, RunListener.SILENT));
        assertTrue(e.getMessage().contains("asked for bf16 x bf16"), e.getMessage());
    }

    @Test
    void otherWordsAreRefused() {
        IllegalArgumentException e = assertThrows(
                IllegalArgumentException.class,
                () -> runs.check(RunFixture.tiny().with(PATH, "int4")));
        assertTrue(e.getMessage().contains("setting model.attention is 'int4'"), e.getMessage());
    }
}
