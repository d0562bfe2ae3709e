package dev.nibble.random;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.tensor.Role;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class RandomStreamTests {
    private static final RandomStream STREAM = new RandomStream(7L << 40 | 5, 3, 2, 9, Role.GRAD_OUTPUT, 1, 4);

    @Test
    void wordHasTheAddressOfTheContract() {
        int[] out = new int[4];
        int address = 9 << 12 | 2 << 8 | 1 << 4 | 4;
        for (long element : new long[] {0, 1, 6, (1L << 34) + 3, (5L << 34) + 42}) {
            Philox4x32.block((int) (element >>> 2), (int) (element >>> 34) | 2 << 8, 3, address, 5, 7 << 8, out, 0);
            assertEquals(out[(int) (element & 3)], STREAM.word(element), "element " + element);
        }
    }

    @Test
    void fieldsDoNotCollide() {
        // Each differs from the first in one field, by 1 or by the field's largest value.
        List<RandomStream> streams = List.of(
                new RandomStream(0, 0, 0, 0, Role.INPUT, 0, 0),
                new RandomStream(1, 0, 0, 0, Role.INPUT, 0, 0),
                new RandomStream(1L << 32, 0, 0, 0, Role.INPUT, 0, 0),
                new RandomStream(0, 1, 0, 0, Role.INPUT, 0, 0),
                new RandomStream(0, -1, 0, 0, Role.INPUT, 0, 0),
                new RandomStream(0, 0, 1, 0, Role.INPUT, 0, 0),
                new RandomStream(0, 0, (1 << 24) - 1, 0, Role.INPUT, 0, 0),
                new RandomStream(0, 0, 0, 1, Role.INPUT, 0, 0),
                new RandomStream(0, 0, 0, (1 << 20) - 1, Role.INPUT, 0, 0),
                new RandomStream(0, 0, 0, 0, Role.WEIGHT, 0, 0),
                new RandomStream(0, 0, 0, 0, Role.OTHER, 0, 0),
                new RandomStream(0, 0, 0, 0, Role.INPUT, 1, 0),
                new RandomStream(0, 0, 0, 0, Role.INPUT, 15, 0),
                new RandomStream(0, 0, 0, 0, Role.INPUT, 0, 1),
                new RandomStream(0, 0, 0, 0, Role.INPUT, 0, 15));
        long[] elements = {0, 1, 2, 3, 4, 255, 1L << 32, 1L << 34, (1L << 34) + 1, (1L << 35), 255L << 34};
        Map<Long, String> seen = new HashMap<>();
        for (RandomStream stream : streams) {
            for (long element : elements) {
                // Two words together make chance collisions among 165 addresses unlikely: 165² / 2^65.
                long pair = ((long) stream.word(element) << 32) | (stream.word(element ^ 2) & 0xFFFFFFFFL);
                String where = stream + " element " + element;
                assertEquals(where, seen.merge(pair, where, (old, _) -> old));
            }
        }
        assertEquals(streams.size() * elements.length, seen.size());
    }

    @Test
    void elementsBeyond34BitsDoNotReachIntoTheMicroBatch() {
        RandomStream next = new RandomStream(7L << 40 | 5, 3, 3, 9, Role.GRAD_OUTPUT, 1, 4);
        assertNotEquals(STREAM.word(1L << 34), next.word(0));
        assertNotEquals(STREAM.word(1L << 34), STREAM.word(0));
    }

    @Test
    void wordIsOneOfItsQuad() {
        int[] quad = new int[4];
        STREAM.quad(17, quad, 0);
        for (int i = 0; i < 4; i++) {
            assertEquals(quad[i], STREAM.word(17 * 4 + i));
        }
    }

    @Test
    void uniformLiesOnTheGridBelowOne() {
        assertEquals(0f, RandomStream.fromWord(0xFF));
        assertEquals(0x1p-24f, RandomStream.fromWord(0x100));
        assertEquals(1 - 0x1p-24f, RandomStream.fromWord(-1));
        assertTrue(RandomStream.fromWord(-1) < 1);
        assertEquals(RandomStream.fromWord(STREAM.word(5)), STREAM.uniform(5));
    }

    @Test
    void uniformHasMeanOneHalf() {
        int draws = 100_000;
        double sum = 0;
        for (int i = 0; i < draws; i++) {
            sum += STREAM.uniform(i);
        }
        double standardError = Math.sqrt(1.0 / 12 / draws); // of the mean of a uniform variable
        assertEquals(0.5, sum / draws, 5 * standardError);
    }

    @Test
    void fieldOutOfRangeIsRejected() {
        IllegalArgumentException e = assertThrows(
                IllegalArgumentException.class, () -> new RandomStream(0, 0, 1 << 24, 0, Role.INPUT, 0, 0));
        assertEquals("microBatch is 16777216, but must be in 0..16777215", e.getMessage());
        assertThrows(IllegalArgumentException.class, () -> new RandomStream(0, 0, 0, 1 << 20, Role.INPUT, 0, 0));
        assertThrows(IllegalArgumentException.class, () -> new RandomStream(0, 0, 0, 0, Role.INPUT, 16, 0));
        assertThrows(IllegalArgumentException.class, () -> new RandomStream(0, 0, 0, 0, Role.INPUT, 0, -1));
    }
}
