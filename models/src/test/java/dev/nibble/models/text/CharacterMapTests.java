package dev.nibble.models.text;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.error.FormatException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class CharacterMapTests {
    private static final int UNITS = 256;
    private static final int CHILD = 0x80;

    /**
     * {@return a map that makes A an e with an accent} Unit 'A' is the only child of the root, and leads to the unit with the place of
     * its text.
     */
    private static ByteBuffer map() {
        byte[] texts = "\u00e9\0".getBytes(StandardCharsets.UTF_8);
        ByteBuffer map =
                ByteBuffer.allocate(Integer.BYTES * (1 + UNITS) + texts.length).order(ByteOrder.LITTLE_ENDIAN);
        map.putInt(Integer.BYTES * UNITS);
        put(map, 'A', 'A' | 1 << 8 | ('A' ^ CHILD) << 10);
        put(map, CHILD, Integer.MIN_VALUE);
        return map.put(Integer.BYTES * (1 + UNITS), texts);
    }

    private static void put(ByteBuffer map, int unit, int value) {
        map.putInt(Integer.BYTES * (1 + unit), value);
    }

    private static String text(ByteBuffer map) {
        byte[] bytes = new byte[map.capacity()];
        map.get(0, bytes);
        return Base64.getEncoder().encodeToString(bytes);
    }

    /** {@return a map that is whole} */
    static String whole() {
        return text(map());
    }

    private static String refusal(ByteBuffer map) {
        return assertThrows(FormatException.class, () -> CharacterMap.check("map", text(map)))
                .getMessage();
    }

    @Test
    void aMapThatStaysInsideIsLetThrough() {
        assertDoesNotThrow(() -> CharacterMap.check("map", whole()));
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "'' | map has 0 bytes, and says that 0 of them are its trie",
                "AAAA | map has 3 bytes, and says that 0 of them are its trie",
                "AAAAAA== | map has 4 bytes, and says that 0 of them are its trie",
                "AAAAAA | map is no Base64 with its padding",
                "?! | map is no Base64",
                "/////wAAAAA= | map has 8 bytes, and says that 4294967295 of them are its trie"
            })
    void whatIsNoMapIsRefused(String text, String problem) {
        assertEquals(
                problem,
                assertThrows(FormatException.class, () -> CharacterMap.check("map", text))
                        .getMessage());
    }

    @Test
    void whatLeadsOutsideIsRefused() {
        ByteBuffer child = map();
        put(child, 'A', 'A' | 1 << 8 | UNITS << 10);
        assertEquals("map leads to unit 321 of its trie, which has 256 units", refusal(child));
        ByteBuffer root = map();
        put(root, 0, UNITS << 10);
        assertEquals("map leads to unit 256 of its trie, which has 256 units", refusal(root));
        ByteBuffer behind = map();
        put(behind, CHILD, Integer.MIN_VALUE | 4);
        assertEquals(
                "map leads to byte 4 of its texts, of which there are 3, where no character begins", refusal(behind));
        ByteBuffer inside = map();
        put(inside, CHILD, Integer.MIN_VALUE | 1);
        assertEquals(
                "map leads to byte 1 of its texts, of which there are 3, where no character begins", refusal(inside));
        ByteBuffer damaged = map();
        damaged.put(damaged.capacity() - 2, (byte) 'x');
        assertEquals("map has texts that are not UTF-8", refusal(damaged));
    }

    /** What is let through is walked as the library does, along random texts: an index outside would be an exception. */
    @Test
    void damagedMapsThatAreLetThroughAreSafe() {
        SplittableRandom random = new SplittableRandom(1);
        int passed = 0;
        for (int i = 0; i < 3_000; i++) {
            ByteBuffer map = map();
            for (int edits = 1 + random.nextInt(3); edits > 0; edits--) {
                int unit = random.nextInt(UNITS); // a child of the root, if its label says so
                put(map, unit, unit | random.nextInt(2) << 8 | random.nextInt(UNITS + 32) << 10);
            }
            try {
                CharacterMap.check("map", text(map));
            } catch (FormatException _) {
                continue;
            }
            passed++;
            for (int walk = 0; walk < 50; walk++) {
                byte[] word = new byte[6];
                random.nextBytes(word);
                word[0] = random.nextBoolean() ? (byte) 'A' : word[0];
                walk(map, word);
            }
        }
        assertTrue(passed > 300 && passed < 2_700, passed + " of 3000 were let through");
    }

    private static void walk(ByteBuffer map, byte[] word) {
        int node = offset(unit(map, 0));
        for (byte letter : word) {
            int c = letter & 0xFF;
            node ^= c;
            int unit = unit(map, node);
            if (c == 0 || (unit & 0x800000FF) != c) {
                return;
            }
            node ^= offset(unit);
            if ((unit >>> 8 & 1) == 1) {
                map.get(Integer.BYTES * (1 + UNITS) + Math.min(2, unit(map, node) & Integer.MAX_VALUE));
            }
        }
    }

    private static int unit(ByteBuffer map, int index) {
        assertTrue(index < UNITS, "unit " + index);
        return map.getInt(Integer.BYTES * (1 + index));
    }

    private static int offset(int unit) {
        return unit >>> 10 << ((unit & 1 << 9) >>> 6);
    }
}
