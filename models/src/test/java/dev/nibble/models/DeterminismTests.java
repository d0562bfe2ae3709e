package dev.nibble.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.spi.Plugins;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class DeterminismTests {
    private final Runs runs = Runs.create();

    static List<String> quantizers() {
        return Plugins.quantizers().names();
    }

    private List<Double> losses(RunConfig config) {
        RunResult result = runs.train(config, RunListener.SILENT);
        assertEquals(RunResult.Status.COMPLETED, result.status(), result.message());
        List<Double> losses = new java.util.ArrayList<>(
                result.curve().stream().map(StepRecord::loss).toList());
        losses.add(result.finalValidationLoss());
        return losses;
    }

    @ParameterizedTest
    @MethodSource("quantizers")
    void sameSeedGivesTheSameLossesToTheLastBitOnAnyNumberOfThreads(String quantizer) {
        RunConfig config = RunFixture.tiny()
                .withSeed(5)
                .withQuantizer(QuantizerChoice.of(quantizer))
                .with("train.microBatches", "2");
        List<Double> first = losses(config.withThreads(1));
        for (int threads = 1; threads <= 3; threads++) {
            assertEquals(first, losses(config.withThreads(threads)), threads + " threads");
        }
    }

    @Test
    void differentSeedsDiffer() {
        assertNotEquals(
                losses(RunFixture.tiny().withSeed(5)), losses(RunFixture.tiny().withSeed(6)));
    }

    @ParameterizedTest
    @MethodSource("quantizers")
    void quantizersStartFromTheSameModel(String quantizer) {
        double fp32 = losses(RunFixture.tiny().withSteps(1)).getFirst();
        double other = losses(RunFixture.tiny().withSteps(1).withQuantizer(QuantizerChoice.of(quantizer)))
                .getFirst();
        // the logits of first weights are about 0.1; eight bits change them by a hundredth or so
        assertEquals(fp32, other, 0.01);
        assertTrue(Double.isFinite(other));
    }
}
