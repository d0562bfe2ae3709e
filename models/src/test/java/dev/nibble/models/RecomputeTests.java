package dev.nibble.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.models.data.IdxFiles;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Blocks that are computed again in the backward pass. */
class RecomputeTests extends ResumeFixture {
    private static final int MANY = 20;
    private static final int FEW = 5;

    private static RunConfig run(String quantizer) {
        return config(quantizer)
                .withSteps(MANY)
                .withThreads(1)
                .with("train.evaluateEvery", "0")
                .with("train.telemetryEvery", "10")
                .with("data.batch", "2")
                .with("model.layers", "2");
    }

    /** Bits; and the memory that is needed at most falls. */
    private void assertSameBits(RunConfig config) {
        RunResult kept = train("kept", config, Start.NEW);
        RunResult again = assertSameBits(config, kept);
        assertTrue(again.peakBytes() < kept.peakBytes());
        assertTrue(
                again.memory().orElseThrow().forecast().peak()
                        < kept.memory().orElseThrow().forecast().peak(),
                "the predicted peak");
    }

    /** Weights, moments, the state of quantizers, losses, norms and telemetry; and less is kept, as much as is predicted. */
    private RunResult assertSameBits(RunConfig config, RunResult kept) {
        RunResult again = train("again", config.with("train.recompute", "blocks"), Start.NEW);
        assertEquals(RunResult.Status.COMPLETED, kept.status(), kept.message());
        assertEquals(RunResult.Status.COMPLETED, again.status(), again.message());
        new RunSnapshot(folder.resolve("again"), config.steps())
                .assertSameAs(new RunSnapshot(folder.resolve("kept"), config.steps()));
        assertEquals(kept.telemetry(), again.telemetry());
        assertTrue(
                again.savedActivationBytes() < 0.7 * kept.savedActivationBytes(),
                again.savedActivationBytes() + " bytes of " + kept.savedActivationBytes());
        RunMemory memory = again.memory().orElseThrow();
        assertEquals(memory.forecast().savedActivations(), again.savedActivationBytes(), "predicted");
        for (RunMemory.Row row : memory.rows()) {
            row.measured().ifPresent(measured -> {
                if (!Set.of("peak", "held").contains(row.name())) {
                    assertEquals(row.predicted(), measured, row.name());
                }
            });
        }
        return again;
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "fp32",
                "bf16",
                "luq:hindsight=0.1",
                "int4",
                "int8-row",
                "int8-fallback:block=16",
                "fp8:scaling=delayed"
            })
    void weightsHaveTheSameBitsAndLessIsKept(String quantizer) {
        assertSameBits(run(quantizer));
    }

    @Tag("slow")
    @ParameterizedTest
    @ValueSource(strings = {"int4", "fp8:scaling=delayed"})
    void quantizedAttentionToo(String quantizer) {
        assertSameBits(run(quantizer).with("model.attention", "quantized"));
    }

    @Test
    void outliersAreDrawnAgain() {
        assertSameBits(run("int8-fallback:block=16").with("model.outlierRate", "0.01"));
    }

    @Test
    void blocksOfAVisionTransformerToo() throws IOException {
        Path images = Files.createDirectories(folder.resolve("images"));
        IdxFiles.writePatterns(images, 100, 40);
        assertSameBits(new RunConfig(
                "images",
                QuantizerChoice.of("luq"),
                List.of(),
                "auto",
                5,
                MANY,
                1,
                false,
                NonFinitePolicy.STOP,
                Map.of(
                        "data.path", images.toString(),
                        "data.classes", "4",
                        "data.batch", "16",
                        "model.patch", "4",
                        "model.width", "32",
                        "model.heads", "2",
                        "model.hidden", "48",
                        "model.layers", "2")));
    }

    private RunConfig resNet(String quantizer) throws IOException {
        Path images = Files.createDirectories(folder.resolve("images"));
        IdxFiles.writePatterns(images, 100, 40);
        return RunConfig.of("resnet")
                .withQuantizer(QuantizerChoice.parse(quantizer))
                .withSteps(FEW)
                .withThreads(1)
                .withSeed(5)
                .with("data.path", images.toString())
                .with("data.classes", "4")
                .with("data.batch", "8")
                .with("model.width", "8")
                .with("model.blocks", "2")
                .with("train.microBatches", "2")
                .with("train.telemetryEvery", "2");
    }

    /** The averages of batch normalization are among the weights that are compared: the second pass must not move them. */
    @ParameterizedTest
    @ValueSource(strings = {"fp32", "luq", "int4", "int8-fallback:block=16"})
    void blocksOfAResidualNetworkToo(String quantizer) throws IOException {
        assertSameBits(resNet(quantizer));
    }

    /** A layer that reads its input again, behind a block that packs what it keeps. */
    @Test
    void layersReadWhatTheBlockBeforeWouldHaveKept() throws IOException {
        RunConfig config = resNet("int8-fallback:block=16,contextBits=8")
                .with("model.block", "bottleneck")
                .with("layers.stages.1.**", "int4");
        assertSameBits(config, train("kept", config, Start.NEW));
    }

    private static RunConfig encoder(RunConfig preset, String quantizer) {
        return preset.withQuantizer(QuantizerChoice.parse(quantizer))
                .withSteps(FEW)
                .withThreads(1)
                .with("model.width", "32")
                .with("model.heads", "2")
                .with("model.hidden", "48")
                .with("model.layers", "3")
                .with("data.sequence", "16")
                .with("train.microBatches", "2")
                .with("train.telemetryEvery", "2");
    }

    @ParameterizedTest
    @ValueSource(strings = {"fp32", "int4", "int8-fallback:block=16", "fp8:scaling=delayed"})
    void blocksOfAnEncoderToo(String quantizer) {
        assertSameBits(encoder(RunConfig.of("classify"), quantizer).with("data.batch", "4"));
    }

    @Test
    void taggersToo() throws IOException {
        Path data = Files.writeString(folder.resolve("d.conll"), "Ada B-X\nsees O\nit O\n\nBo B-X\n\n".repeat(30));
        assertSameBits(encoder(RunConfig.of("tag"), "luq")
                .with("data.path", data.toString())
                .with("data.classes", "2")
                .with("data.batch", "6"));
    }

    @Test
    void aRunMayGoOnWithout() {
        RunConfig config = run("int8-row");
        train("whole", config, Start.NEW);
        train("broken", config.with("train.recompute", "blocks"), Start.NEW, 5);
        train("broken", config, Start.RESUME);
        new RunSnapshot(folder.resolve("broken"), MANY).assertSameAs(new RunSnapshot(folder.resolve("whole"), MANY));
    }

    @Test
    void anotherValueIsRefused() {
        IllegalArgumentException e = assertThrows(
                IllegalArgumentException.class, () -> runs.check(run("fp32").with("train.recompute", "layers")));
        assertTrue(e.getMessage().contains("setting train.recompute is 'layers'"), e.getMessage());
    }
}
