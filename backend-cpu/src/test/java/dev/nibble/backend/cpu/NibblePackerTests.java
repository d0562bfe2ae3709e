package dev.nibble.backend.cpu;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;

import dev.nibble.tensor.Nibbles;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

class NibblePackerTests {
    @Test
    void runsLieWhereTheyBeginAndLeaveTheirNeighboursAlone() {
        SplittableRandom random = new SplittableRandom(1);
        for (int count : new int[] {1, 2, 3, 13, 127, 128, 129, 300}) {
            for (int element : new int[] {0, 1, 2, 7, 64}) {
                byte[] codes = new byte[count + 64];
                random.nextBytes(codes);
                byte[] expected = new byte[200];
                random.nextBytes(expected);
                byte[] actual = expected.clone();
                for (int i = 0; i < count; i++) {
                    Nibbles.set(expected, element + i, codes[i]);
                }
                NibblePacker.pack(codes, count, actual, element);
                assertArrayEquals(expected, actual, count + " codes from element " + element);
            }
        }
    }
}
