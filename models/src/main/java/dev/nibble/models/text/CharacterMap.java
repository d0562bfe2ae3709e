package dev.nibble.models.text;

import dev.nibble.error.FormatException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.Base64;
import java.util.BitSet;
import java.util.Deque;

/**
 * The map of characters that SentencePiece compiles for a normalizer: bytes of a trie, the trie, and the texts that its leaves point
 * to, in Base64. The library walks through it without looking where it goes.
 */
final class CharacterMap {
    private static final int BYTES = 256; // values of a byte

    private final String what;
    private final int[] units; // [units] of a double-array trie (Yata et al. 2007), the first of which is the root
    private final byte[] texts; // [bytes], UTF-8, each text ends with 0

    private CharacterMap(String what, int[] units, byte[] texts) {
        this.what = what;
        this.units = units;
        this.texts = texts;
    }

    /**
     * Refuses a map that leads the library astray.
     *
     * @param what has the map, for messages
     * @throws FormatException if it does
     */
    static void check(String what, String base64) {
        byte[] bytes;
        try {
            bytes = Base64.getDecoder().decode(base64);
        } catch (IllegalArgumentException _) {
            throw new FormatException(what + " is no Base64");
        }
        if (!Base64.getEncoder().encodeToString(bytes).equals(base64)) {
            throw new FormatException(what + " is no Base64 with its padding");
        }
        ByteBuffer buffer = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
        long trie = bytes.length < Integer.BYTES ? 0 : Integer.toUnsignedLong(buffer.getInt());
        if (trie < Integer.BYTES || trie > buffer.remaining()) {
            throw new FormatException(
                    "%s has %d bytes, and says that %d of them are its trie".formatted(what, bytes.length, trie));
        }
        int[] units = new int[(int) (trie / Integer.BYTES)]; // [units]
        buffer.asIntBuffer().get(units);
        buffer.position(buffer.position() + units.length * Integer.BYTES);
        byte[] texts = new byte[buffer.remaining()]; // [bytes]
        buffer.get(texts);
        try {
            StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(texts));
        } catch (CharacterCodingException _) {
            throw new FormatException(what + " has texts that are not UTF-8");
        }
        new CharacterMap(what, units, texts).walk();
    }

    /** Visits each node that some bytes lead to. Nodes may share children, so none is visited twice. */
    private void walk() {
        BitSet seen = new BitSet(units.length);
        Deque<Integer> nodes = new ArrayDeque<>();
        nodes.add((int) requireInside(offset(units[0])));
        while (!nodes.isEmpty()) {
            int node = nodes.remove();
            if (seen.get(node)) {
                continue;
            }
            seen.set(node);
            for (int c = 1; c < BYTES; c++) {
                int unit = units[(int) requireInside(node ^ c)];
                if ((unit & 0x800000FF) != c) {
                    continue; // no such child
                }
                int child = (int) requireInside(node ^ c ^ offset(unit));
                if ((unit >>> 8 & 1) == 1) {
                    requireText(units[child] & Integer.MAX_VALUE);
                }
                nodes.add(child);
            }
        }
    }

    private static long offset(int unit) {
        return (long) (unit >>> 10) << ((unit & 1 << 9) >>> 6);
    }

    private long requireInside(long place) {
        if (place >= units.length) {
            throw new FormatException(
                    "%s leads to unit %d of its trie, which has %d units".formatted(what, place, units.length));
        }
        return place;
    }

    private void requireText(int place) {
        if (place > texts.length || (place < texts.length && (texts[place] & 0xC0) == 0x80)) {
            throw new FormatException(
                    "%s leads to byte %d of its texts, of which there are %d, where no character begins"
                            .formatted(what, place, texts.length));
        }
    }
}
