package dev.nibble.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.junit.jupiter.api.Test;

/** Outliers put into a model with {@code model.outlierRate}. */
class OutlierRunTests {
    private final Runs runs = Runs.create();

    private RunResult run(String quantizer, String rate) {
        RunConfig config = RunFixture.tiny()
                .withQuantizer(QuantizerChoice.parse(quantizer))
                .with("model.outlierRate", rate)
                .with("train.telemetryEvery", "1")
                .with("train.learningRate", "0.01")
                .withSteps(12);
        RunResult result = runs.train(config, RunListener.SILENT);
        assertEquals(RunResult.Status.COMPLETED, result.status(), result.message());
        return result;
    }

    private static List<Double> losses(RunResult result) {
        return result.curve().stream().map(StepRecord::loss).toList();
    }

    @Test
    void fp32TrainsAsWithoutThem() {
        RunResult plain = run("fp32", "0");
        RunResult outliers = run("fp32", "0.002"); // 4 and 6 outliers a pass of 64 tokens, width 32, hidden 48
        assertNotEquals(losses(plain), losses(outliers), "they are there");
        // An outlier of 1000 leaves roundings of 1000 · 2^-24 = 6e-5 beside values of about 1. Twelve steps do not
        // let them grow to a hundredth of the loss.
        assertEquals(plain.finalValidationLoss(), outliers.finalValidationLoss(), 0.01);
    }

    @Test
    void fallbackTrainsOnWhereBlocksLoseTheirValues() {
        // Blocks of 16: 4 of 8 and 6 of 12 may hold an outlier, so half of the blocks must fall back.
        String window = "block=16,threshold=exact,rateMin=0.5,rateMax=0.6";
        double fp32 = run("fp32", "0.002").finalValidationLoss();
        double block = run("int8-block:block=16", "0.002").finalValidationLoss();
        RunResult fallback = run("int8-fallback:" + window, "0.002");
        assertTrue(
                block - fp32 > 2 * Math.abs(fallback.finalValidationLoss() - fp32),
                "fp32 " + fp32 + ", block " + block + ", fallback " + fallback.finalValidationLoss());
        List<LayerTelemetry> down = fallback.telemetry().stream()
                .filter(row -> row.layer().endsWith("mlp.down"))
                .toList();
        assertEquals(12, down.size());
        assertTrue(down.stream().allMatch(row -> row.amax() > 900 && row.fallbackRate() >= 0.4), down.toString());
        assertTrue(
                fallback.telemetry().stream()
                        .filter(row -> row.layer().contains("attn"))
                        .allMatch(row -> row.amax() < 100),
                "attention has none");
    }

    @Test
    void rateBeyondOneIsRefused() {
        RunConfig config = RunFixture.tiny().with("model.outlierRate", "2");
        IllegalArgumentException e = assertThrows(IllegalArgumentException.class, () -> runs.check(config));
        assertTrue(e.getMessage().contains("outlierRate is 2.0, but must be in [0, 1]"), e.getMessage());
    }
}
