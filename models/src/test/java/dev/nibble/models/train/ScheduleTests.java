package dev.nibble.models.train;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

class ScheduleTests {
    private final Schedule schedule = new Schedule(0.5, 4, 0.1);

    @Test
    void warmUpRisesLinearlyToThePeak() {
        assertEquals(0.125f, schedule.at(0, 14));
        assertEquals(0.25f, schedule.at(1, 14));
        assertEquals(0.5f, schedule.at(3, 14));
    }

    @Test
    void cosineFallsFromThePeakToTheFloor() {
        // half of the ten falling steps: cos(pi/2) = 0 up to one rounding, so the mean of peak and floor
        assertEquals(0.5 * (0.1 + 0.9 / 2), schedule.at(8, 14), Math.ulp(0.5f));
        assertEquals(0.05, schedule.at(13, 14), Math.ulp(0.05f));
        for (int step = 4; step < 14; step++) {
            assertTrue(schedule.at(step, 14) < schedule.at(step - 1, 14), "step " + step);
        }
    }

    @Test
    void runShorterThanTheWarmUpEndsAtThePeak() {
        assertEquals(0.25f, schedule.at(0, 2));
        assertEquals(0.5f, schedule.at(1, 2));
        assertEquals(0.5f, schedule.at(0, 1));
    }

    @Test
    void withoutWarmUpOneStepHasTheFloor() {
        assertEquals(0.05, new Schedule(0.5, 0, 0.1).at(0, 1), Math.ulp(0.05f));
    }

    @Test
    void valuesOutOfRangeAreRefused() {
        assertThrows(IllegalArgumentException.class, () -> new Schedule(0, 4, 0.1));
        assertThrows(IllegalArgumentException.class, () -> new Schedule(Double.NaN, 4, 0.1));
        assertThrows(IllegalArgumentException.class, () -> new Schedule(1, -1, 0.1));
        assertThrows(IllegalArgumentException.class, () -> new Schedule(1, 4, 1.1));
    }
}
