package dev.nibble.models.files;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.error.FormatException;
import java.io.IOException;
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.Stream;

/**
 * A file that is damaged in many ways, to see what its reader does: it reads, or says in one line which file is wrong, and nothing
 * else. It allocates what a file of that size can be worth, and leaves no file behind.
 *
 * @param path where the file is written again and again, alone in its folder
 * @param good what it holds when it is right
 * @param words what a text file is spoilt with; none for a binary one, which gets large numbers
 * @param reader reads it to its end
 * @param base bytes that the reader may allocate for a file of any size
 */
public record HostileFile(Path path, byte[] good, List<String> words, Reader reader, long base) {
    /** Signs and numbers that mean something in JSON. */
    public static final List<String> JSON = List.of(
            "\"",
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "-1",
            "0.5",
            "1e99",
            "NaN",
            "9223372036854775807",
            "99999999999999999999",
            "null",
            "true",
            "\"x\"",
            "[[[[[[[[[",
            "{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":",
            "/*",
            "\\u0000",
            "\\ud800",
            "\u0000");

    // A reader's buffers and, the first time, its classes. A length that lies claims more: of the numbers that damage a
    // file
    // most are 2^24 and above.
    private static final long BASE_BYTES = 1 << 22;

    // What a byte can become: two bytes of an empty ONNX operation are a record with three lists.
    private static final long BYTES_PER_BYTE = 512;

    private static final int LONGEST_MESSAGE = 600; // characters beside the path

    private static final long[] NUMBERS = {
        -1,
        Long.MIN_VALUE,
        Long.MAX_VALUE,
        Integer.MAX_VALUE,
        Integer.MIN_VALUE,
        1L << 32,
        1L << 40,
        1 << 30,
        1 << 24,
        255,
        0
    };

    /** A file whose reader needs some buffers. */
    public HostileFile(Path path, byte[] good, List<String> words, Reader reader) {
        this(path, good, words, reader, BASE_BYTES);
    }

    /** Reads a file, or fails. */
    @FunctionalInterface
    public interface Reader {
        /** Reads it. */
        void read(Path file) throws IOException;
    }

    /**
     * Damages the file and has it read.
     *
     * @param times how often
     * @param seed of all choices
     * @return how often it was refused
     */
    public int refusals(int times, long seed) throws IOException {
        Files.write(path, good);
        reader.read(path); // also loads its classes
        SplittableRandom random = new SplittableRandom(seed);
        int refused = 0;
        for (int i = 0; i < times; i++) {
            byte[] bytes = damaged(random);
            Files.write(path, bytes);
            refused += isRefused(bytes, "file " + i + " of seed " + seed) ? 1 : 0;
        }
        Files.write(path, good);
        reader.read(path);
        try (Stream<Path> entries = Files.list(path.getParent())) {
            assertEquals(List.of(path), entries.toList(), "something was written");
        }
        return refused;
    }

    private boolean isRefused(byte[] bytes, String which) {
        boolean refused = false;
        long before = Allocated.bytes();
        try {
            reader.read(path);
        } catch (FormatException e) {
            refused = true;
            requireClear(e.getMessage(), which);
        } catch (Exception | Error e) {
            throw new AssertionError(which + ": " + shown(bytes), e);
        }
        long allocated = Allocated.bytes() - before;
        assertTrue(
                allocated < base + BYTES_PER_BYTE * bytes.length,
                () -> "%s: %d bytes allocated for %d: %s".formatted(which, allocated, bytes.length, shown(bytes)));
        return refused;
    }

    private void requireClear(String message, String which) {
        assertTrue(message.contains(path.toString()), () -> which + ": " + message);
        assertEquals(1, message.lines().count(), () -> which + ": " + message);
        assertTrue(message.length() < path.toString().length() + LONGEST_MESSAGE, () -> which + ": " + message);
    }

    private static String shown(byte[] bytes) {
        return HexFormat.of().formatHex(bytes, 0, Math.min(bytes.length, 2000));
    }

    private byte[] damaged(SplittableRandom random) {
        byte[] bytes = good;
        for (int edits = 1 + random.nextInt(3); edits > 0; edits--) {
            bytes = edited(bytes, random);
        }
        return bytes;
    }

    private byte[] edited(byte[] bytes, SplittableRandom random) {
        if (bytes.length == 0) {
            return bytes;
        }
        int at = random.nextInt(bytes.length);
        int end = Math.min(bytes.length, at + random.nextInt(9));
        return switch (random.nextInt(6)) {
            case 0 -> replaced(bytes, at, at + 1, new byte[] {(byte) random.nextInt(256)});
            case 1 -> replaced(bytes, at, at + 1, new byte[] {(byte) (bytes[at] ^ 1 << random.nextInt(8))});
            case 2 -> Arrays.copyOf(bytes, at);
            case 3 -> replaced(bytes, at, end, new byte[0]);
            case 4 -> replaced(bytes, at, at, Arrays.copyOfRange(bytes, at, end));
            default -> replaced(bytes, at, end, words.isEmpty() ? number(random) : word(random));
        };
    }

    private byte[] word(SplittableRandom random) {
        return words.get(random.nextInt(words.size())).getBytes(StandardCharsets.UTF_8);
    }

    /** Four or eight bytes, either end first, or seven bits a byte. */
    private static byte[] number(SplittableRandom random) {
        long number = NUMBERS[random.nextInt(NUMBERS.length)];
        int kind = random.nextInt(5);
        byte[] bytes = new byte[kind < 2 ? Integer.BYTES : kind < 4 ? Long.BYTES : 10];
        for (int i = 0; i < bytes.length; i++) {
            if (kind == 4) {
                bytes[i] = (byte) (((number >>> (7 * i)) & 0x7F) | (i < bytes.length - 1 ? 0x80 : 0));
            } else {
                bytes[kind % 2 == 0 ? i : bytes.length - 1 - i] = (byte) (number >>> (8 * i));
            }
        }
        return bytes;
    }

    private static byte[] replaced(byte[] bytes, int from, int to, byte[] by) {
        byte[] result = new byte[bytes.length - (to - from) + by.length];
        System.arraycopy(bytes, 0, result, 0, from);
        System.arraycopy(by, 0, result, from, by.length);
        System.arraycopy(bytes, to, result, from + by.length, bytes.length - to);
        return result;
    }

    /** What the thread has allocated. The tests' module does not read the one that knows it. */
    private static final class Allocated {
        private static final Object THREADS;
        private static final Method BYTES;

        static {
            try {
                THREADS = Class.forName("java.lang.management.ManagementFactory")
                        .getMethod("getThreadMXBean")
                        .invoke(null);
                BYTES = Class.forName("com.sun.management.ThreadMXBean").getMethod("getCurrentThreadAllocatedBytes");
            } catch (ReflectiveOperationException e) {
                throw new ExceptionInInitializerError(e);
            }
        }

        private Allocated() {}

        static long bytes() {
            try {
                return (long) BYTES.invoke(THREADS);
            } catch (ReflectiveOperationException e) {
                throw new IllegalStateException(e);
            }
        }
    }
}
