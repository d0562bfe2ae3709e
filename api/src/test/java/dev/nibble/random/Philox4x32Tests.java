package dev.nibble.random;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;

import org.junit.jupiter.api.Test;

/** Known answers of the Random123 distribution for philox4x32-10. */
class Philox4x32Tests {
    @Test
    void zeroCounterAndKey() {
        assertBlock(new int[] {0, 0, 0, 0}, new int[] {0, 0}, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8);
    }

    @Test
    void allOnesCounterAndKey() {
        assertBlock(new int[] {-1, -1, -1, -1}, new int[] {-1, -1}, 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd);
    }

    @Test
    void digitsOfPi() {
        assertBlock(
                new int[] {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
                new int[] {0xa4093822, 0x299f31d0},
                0xd16cfe09,
                0x94fdcceb,
                0x5001e420,
                0x24126ea1);
    }

    private static void assertBlock(int[] counter, int[] key, int... expected) {
        int[] out = new int[6]; // [6], to see that nothing is written beside the block
        Philox4x32.block(counter[0], counter[1], counter[2], counter[3], key[0], key[1], out, 1);
        int[] framed = {0, expected[0], expected[1], expected[2], expected[3], 0};
        assertArrayEquals(framed, out);
    }
}
