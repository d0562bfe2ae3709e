package dev.nibble.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

class RunResultTests {
    /** {@return a result whose step i ran at 1000 + i tokens per second} */
    private static RunResult ofSteps(int steps) {
        List<StepRecord> curve = new ArrayList<>();
        for (int i = 0; i < steps; i++) {
            curve.add(new StepRecord(i, 2, 1e-3, 1, false, 1000 + i, i));
        }
        return new RunResult(
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
        assertEquals(1007, ofSteps(10).tokensPerSecond()); // of 1005..1009
        assertEquals(1002.5, ofSteps(4).tokensPerSecond()); // of 1002, 1003
        assertEquals(1000, ofSteps(1).tokensPerSecond());
        assertTrue(Double.isNaN(ofSteps(0).tokensPerSecond()));
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
                        "tokensPerSecond",
                        "seconds",
                        "peakBytes",
                        "savedActivationBytes"),
                List.copyOf(ofSteps(2).summary().keySet()));
        assertEquals("completed", ofSteps(2).summary().get("status"));
    }
}
