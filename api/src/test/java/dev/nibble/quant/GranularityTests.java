package dev.nibble.quant;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

class GranularityTests {
    private static void assertGroups(Granularity granularity, long rows, long k, long... expected) {
        assertEquals(expected[0], granularity.groupRows(rows));
        assertEquals(expected[1], granularity.groupK(k));
        assertEquals(expected[2], granularity.rowGroups(rows));
        assertEquals(expected[3], granularity.kGroups(k));
    }

    @Test
    void groupsCoverTheOperand() {
        assertGroups(new Granularity.PerTensor(), 13, 129, 13, 129, 1, 1);
        assertGroups(new Granularity.PerRow(), 13, 129, 1, 129, 13, 1);
        assertGroups(new Granularity.PerBlock(128, 128), 128, 129, 128, 128, 1, 2);
        assertGroups(new Granularity.PerBlock(1, 128), 13, 127, 1, 128, 13, 1);
        assertGroups(new Granularity.PerBlock(2, 3), 5, 7, 2, 3, 3, 3);
    }

    @Test
    void sizesBeyondIntAreExact() {
        assertEquals(1L << 33, new Granularity.PerBlock(1, 128).kGroups(1L << 40));
        assertEquals(1L << 40, new Granularity.PerRow().rowGroups(1L << 40));
    }

    @Test
    void onlyTensorsAndSquareBlocksAreTransposable() {
        assertTrue(new Granularity.PerTensor().transposable());
        assertTrue(new Granularity.PerBlock(32, 32).transposable());
        assertFalse(new Granularity.PerBlock(1, 128).transposable());
        assertFalse(new Granularity.PerRow().transposable());
    }

    @Test
    void emptyBlockIsRejected() {
        IllegalArgumentException e =
                assertThrows(IllegalArgumentException.class, () -> new Granularity.PerBlock(0, 128));
        assertEquals("block 0x128 is empty", e.getMessage());
    }
}
