package dev.nibble.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.List;
import org.junit.jupiter.api.Test;

class FingerprintTests {
    private final Runs runs = Runs.create();
    private final RunConfig config = RunConfig.of("text").withQuantizer(QuantizerChoice.of("fp8"));

    @Test
    void otherWordsForTheSameRunHaveTheSame() {
        String fingerprint = runs.fingerprint(config);
        for (RunConfig same : List.of(
                config.withQuantizer(QuantizerChoice.parse("fp8:scaling=tensor")),
                config.with("model.layers", "4"),
                config.withSteps(100),
                config.withThreads(1),
                config.withBackend("cuda"),
                config.with("train.telemetryEvery", "5"))) {
            assertEquals(fingerprint, runs.fingerprint(same), same.facts().toString());
        }
    }

    @Test
    void whatDecidesNumbersChangesIt() {
        String fingerprint = runs.fingerprint(config);
        for (RunConfig other : List.of(
                config.withQuantizer(QuantizerChoice.parse("fp8:scaling=row")),
                config.with("model.layers", "3"),
                config.with("layers.blocks.0.*", "fp32"),
                config.with("train.fineTuneSteps", "1"),
                config.withSteps(99),
                config.withSeed(1))) {
            assertNotEquals(fingerprint, runs.fingerprint(other), other.facts().toString());
        }
    }

    @Test
    void configurationThatIsWrongHasNone() {
        assertThrows(IllegalArgumentException.class, () -> runs.fingerprint(config.with("model.layer", "3")));
    }
}
