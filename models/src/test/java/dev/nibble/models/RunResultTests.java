package dev.nibble.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.models.train.TaskKind;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.SequencedMap;
import org.junit.jupiter.api.Test;

class RunResultTests {
    private static RunResult ofSteps(int steps) {
        return ofSteps(TaskKind.LANGUAGE_MODEL, steps);
    }

    /** {@return a result whose step i ran at 1000 + i tokens or samples per second} */
    private static RunResult ofSteps(TaskKind kind, int steps) {
        List<StepRecord> curve = new ArrayList<>();
        for (int i = 0; i < steps; i++) {
            curve.add(new StepRecord(i, 2, 1e-3, 1, false, 1000 + i, i));
        }
        return new RunResult(
                kind,
                "fp32",
                "reference",
                "a device",
                RunResult.Status.COMPLETED,
                "",
                Optional.empty(),
                steps,
                0,
                2,
                2,
                0.75,
                steps,
                0,
                0,
                curve,
                List.of(),
                List.of(),
                List.of(),
                "a model");
    }

    @Test
    void speedIsTheMedianOfTheSecondHalf() {
        assertEquals(1007, ofSteps(10).unitsPerSecond()); // of 1005..1009
        assertEquals(1002.5, ofSteps(4).unitsPerSecond()); // of 1002, 1003
        assertEquals(1000, ofSteps(1).unitsPerSecond());
        assertTrue(Double.isNaN(ofSteps(0).unitsPerSecond()));
    }

    @Test
    void summaryBeginsWithNamesAndEndsWithBytes() {
        assertEquals(
                List.of(
                        "quantizer",
                        "backend",
                        "status",
                        "message",
                        "steps",
                        "skippedSteps",
                        "finalTrainLoss",
                        "finalValidationLoss",
                        "perplexity",
                        "bitsPerByte",
                        "tokensPerSecond",
                        "seconds",
                        "peakBytes",
                        "savedActivationBytes"),
                List.copyOf(ofSteps(2).summary().keySet()));
        assertEquals("completed", ofSteps(2).summary().get("status"));
    }

    @Test
    void classificationHasAccuracyAndSamples() {
        SequencedMap<String, Object> summary =
                ofSteps(TaskKind.CLASSIFICATION, 2).summary();
        assertEquals(0.75, summary.get("finalValidationAccuracy"));
        assertEquals(1001.0, summary.get("samplesPerSecond"));
        assertFalse(summary.containsKey("tokensPerSecond"));
    }
}
