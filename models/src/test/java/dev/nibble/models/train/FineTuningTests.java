package dev.nibble.models.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

class FineTuningTests {
    @Test
    void rateRisesForHalfOfTheStepsAndFallsWithTheSameSlope() {
        FineTuning even = new FineTuning(4, 0.9);
        float[] expected = {0.5f, 0.9f, 0.5f, 0.1f}; // from 0.1: a quarter of the way up a half step each
        for (int step = 0; step < 4; step++) {
            assertEquals(expected[step], even.at(step, 0.1), Math.ulp(1f), "step " + step);
        }
        FineTuning odd = new FineTuning(5, 0.6); // t / 2.5 of 0.5: the peak lies between steps 1 and 2
        float[] between = {0.3f, 0.5f, 0.5f, 0.3f, 0.1f};
        for (int step = 0; step < 5; step++) {
            assertEquals(between[step], odd.at(step, 0.1), Math.ulp(1f), "step " + step);
        }
    }

    @Test
    void rateEndsWhereItBegan() {
        for (int steps = 1; steps < 10; steps++) {
            assertEquals(0.25f, new FineTuning(steps, 3).at(steps - 1, 0.25));
        }
    }

    @Test
    void peakBelowTheLastRateIsAValley() {
        assertEquals(0.1f, new FineTuning(2, 0.1).at(0, 0.5));
        assertEquals(0.5f, new FineTuning(2, 0.1).at(1, 0.5));
    }

    @Test
    void valuesOutOfRangeAreRefused() {
        String message = assertThrows(IllegalArgumentException.class, () -> new FineTuning(-1, 0.1))
                .getMessage();
        assertTrue(message.startsWith("fine-tuning: steps -1 must be 0 (none) or more"), message);
        assertThrows(IllegalArgumentException.class, () -> new FineTuning(1, 0));
        assertThrows(IllegalArgumentException.class, () -> new FineTuning(1, -0.1));
        assertThrows(IllegalArgumentException.class, () -> new FineTuning(0, Double.POSITIVE_INFINITY));
    }
}
