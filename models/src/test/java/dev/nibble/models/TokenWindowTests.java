package dev.nibble.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class TokenWindowTests {
    @Test
    void theOlderHalfLeavesWhenItIsFull() {
        TokenWindow window = new TokenWindow(8);
        assertEquals(0, window.start(1));
        assertEquals(0, window.start(8));
        assertEquals(5, window.start(9)); // 5 to 8: four tokens
        assertEquals(5, window.start(13));
        assertEquals(10, window.start(14));
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 8, 13, 128})
    void neverEmptyNeverTooLongAndMostlyLonger(int capacity) {
        TokenWindow window = new TokenWindow(capacity);
        int moved = 0;
        for (int tokens = 1; tokens <= 10 * capacity; tokens++) {
            int seen = tokens - window.start(tokens);
            assertTrue(seen >= Math.min(tokens, Math.max(1, capacity / 2)) && seen <= capacity, tokens + ": " + seen);
            assertTrue(window.start(tokens) <= window.start(tokens + 1));
            moved += window.start(tokens + 1) == window.start(tokens) ? 0 : 1;
        }
        assertTrue(moved <= 20, moved + " times for 10 windows");
    }
}
