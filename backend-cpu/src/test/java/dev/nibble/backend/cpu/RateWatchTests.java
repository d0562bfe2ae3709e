package dev.nibble.backend.cpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Optional;
import org.junit.jupiter.api.Test;

class RateWatchTests {
    private static final long OPERATIONS = 1L << 25;

    private static long warnings(RateWatch watch, int calls, long operations, long nanos) {
        long warnings = 0;
        for (int i = 0; i < calls; i++) {
            Optional<String> text = watch.cliff("kernel", operations, nanos);
            warnings += text.isPresent() ? 1 : 0;
            text.ifPresent(t -> assertTrue(t.startsWith("kernel kernel reaches "), t));
        }
        return warnings;
    }

    @Test
    void aSlowKernelIsToldOnce() {
        assertEquals(1, warnings(new RateWatch(), 1000, OPERATIONS, OPERATIONS));
    }

    @Test
    void oneFastCallIsEnough() {
        RateWatch watch = new RateWatch();
        assertEquals(0, warnings(watch, 1, OPERATIONS, OPERATIONS / 10));
        assertEquals(0, warnings(watch, 1000, OPERATIONS, OPERATIONS * 10));
    }

    @Test
    void firstCallsAndSmallProductsDoNotCount() {
        assertEquals(0, warnings(new RateWatch(), 99, OPERATIONS, OPERATIONS * 10));
        assertEquals(0, warnings(new RateWatch(), 1000, 1000, 100_000));
    }
}
