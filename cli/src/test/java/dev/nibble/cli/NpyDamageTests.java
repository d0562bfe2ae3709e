package dev.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.error.FormatException;
import dev.nibble.error.NonFiniteException;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

class NpyDamageTests {
    private static final int LONGEST_MESSAGE = 400;

    // A buffer of 64 KiB and, the first time, classes; a shape or length that lies claims 2^24 and more.
    private static final long MOST_ALLOCATED = 1 << 22; // bytes

    private static final List<String> HOSTILE = List.of(
            "\u00ff\u00ff\u00ff\u007f",
            "\u0000\u0000\u0000\u0001",
            "(4294967296, 4294967296)",
            "(16777216, 9)",
            "9223372036854775807",
            "-1",
            "'",
            "{",
            "(((((((",
            "<f8",
            ">f2",
            "True");

    @TempDir
    Path folder;

    private static byte[] with(byte[] bytes, int at, int value) {
        byte[] changed = bytes.clone();
        changed[at] = (byte) value;
        return changed;
    }

    private static byte[] good() {
        return good(1);
    }

    private static byte[] good(int version) {
        return NpyFiles.bytes(version, NpyFiles.dictionary("<f4", "(2, 3)"), new byte[24]);
    }

    private static Arguments damaged(String name, byte[] bytes, String message) {
        return Arguments.of(name, bytes, message);
    }

    private static Arguments header(String name, String dictionary, int data, String message) {
        return Arguments.of(name, NpyFiles.bytes(dictionary, new byte[data]), message);
    }

    private static Arguments shape(String name, String shape, String message) {
        return header(name, NpyFiles.dictionary("<f4", shape), 24, message);
    }

    private static Arguments descr(String name, String descr) {
        return header(name, NpyFiles.dictionary(descr, "(2, 3)"), 24, "holds elements of type '" + descr + "'");
    }

    static Stream<Arguments> zoo() {
        return Stream.of(files(), headers(), shapes(), types()).flatMap(s -> s);
    }

    private static Stream<Arguments> files() {
        return Stream.of(
                damaged("empty", new byte[0], "is not a .npy file"),
                damaged("text", "1 2 3\n4 5 6\n".getBytes(StandardCharsets.US_ASCII), "is not a .npy file"),
                damaged("npz", new byte[] {'P', 'K', 3, 4, 0, 0, 0, 0, 0, 0, 0, 0}, "is not a .npy file"),
                damaged("magicOnly", Arrays.copyOf(good(), 6), "is truncated: it has 6 bytes"),
                damaged("versionOnly", Arrays.copyOf(good(), 8), "is truncated: it has 8 bytes"),
                damaged("version2LengthCut", Arrays.copyOf(good(2), 11), "11 bytes, but a .npy file has at least 12"),
                damaged("badMagic", with(good(), 0, 0x94), "is not a .npy file"),
                damaged("magicCut", new byte[] {(byte) 0x93, 'N', 'U', 'M', 'Q'}, "is not a .npy file"),
                damaged("version0", with(good(), 6, 0), "is of .npy version 0.0"),
                damaged("version4", with(good(2), 6, 4), "is of .npy version 4.0"),
                damaged("version255", with(good(2), 6, 255), "is of .npy version 255.0"),
                damaged("version1dot1", with(good(), 7, 1), "is of .npy version 1.1"),
                damaged("version1SaysItIs2", with(good(), 6, 2), "is truncated: its header needs"),
                damaged("version2SaysItIs1", with(good(2), 6, 1), "byte 0 is 0x00"),
                damaged("longHeader", with(good(), 9, 0xFF), "its header needs"),
                damaged("longHeader2", with(good(2), 11, 0xFF), "its header needs 42"),
                damaged("longHeader3", with(good(3), 11, 0x7F), "its header needs 21"),
                damaged("headerCut", Arrays.copyOf(good(), 40), "its header needs"),
                damaged("headerCut3", Arrays.copyOf(good(3), 40), "its header needs"),
                damaged("dataCut", Arrays.copyOf(good(), good().length - 1), "is truncated: shape [2, 3] of float32"),
                damaged("dataCut2", Arrays.copyOf(good(2), good(2).length - 1), "is truncated: shape [2, 3]"),
                damaged("noData", Arrays.copyOf(good(), good().length - 24), "needs 24 bytes, but 0 follow"),
                damaged("moreData", Arrays.copyOf(good(), good().length + 4), "is damaged: shape [2, 3]"),
                damaged("moreData3", Arrays.copyOf(good(3), good(3).length + 1), "but 25 follow its header"));
    }

    private static Stream<Arguments> headers() {
        return Stream.of(
                damaged("noise", with(good(), 10, 'x'), "has a damaged header: '{' is expected at character 0"),
                damaged("noiseByte", with(good(3), 20, 0xE4), "has a damaged header: byte 8 is 0xe4"),
                damaged("escape", with(good(), 21, 0x1B), "has a damaged header: byte 11 is 0x1b"),
                header("nothing", "", 24, "damaged header"),
                header("noKeys", "{}", 24, "it lacks descr, fortran_order, shape"),
                header("missingDescr", "{'fortran_order': False, 'shape': (2, 3)}", 24, "it lacks descr"),
                header("missingOrder", "{'descr': '<f4', 'shape': (2, 3)}", 24, "it lacks fortran_order"),
                header("missingShape", "{'descr': '<f4', 'fortran_order': False}", 24, "it lacks shape"),
                header("twice", "{'descr': '<f4', 'descr': '<f4'}", 24, "'descr' stands there twice"),
                header("unknownKey", "{'descr': '<f4', 'color': 'red'}", 24, "'color' is not a key"),
                header("longKey", "{'" + "a".repeat(60_000) + "': 1}", 24, "a text of 60000 characters"),
                header(
                        "lineEndInText",
                        "{'de\nscr': '<f4'}",
                        24,
                        "a text with a tab or line end stands at character 1"),
                header("openText", "{'descr: 1", 24, "text is expected at character 1"),
                header("orderIsANumber", "{'fortran_order': 1}", 24, "neither True nor False"),
                header("orderIsLonger", "{'fortran_order': Falsehood}", 24, "'}' is expected"),
                header("descrIsANumber", "{'descr': 4}", 24, "text is expected"),
                header("unclosed", "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)", 24, "'}' is expected"),
                header("trailing", NpyFiles.dictionary("<f4", "(2, 3)") + " {}", 24, "goes on after"),
                damaged(
                        "hugeHeader",
                        NpyFiles.bytes(2, NpyFiles.dictionary("<f4", "(2, 3)") + " ".repeat(70_000), new byte[24]),
                        "but that of an array has at most 65536"));
    }

    private static Stream<Arguments> shapes() {
        return Stream.of(
                shape("negative", "(-2, -3)", "extent -2, but an extent must not be negative"),
                shape("minus", "(-, 3)", "an extent of its shape is expected"),
                shape("huge", "(4611686018427387904, 4)", "overflows"),
                shape("hugeBeforeZero", "(4611686018427387904, 4, 0)", "overflows"),
                shape("hugeBytes", "(4611686018427387904,)", "overflows"),
                shape("wraps", "(4294967296, 4294967296)", "overflows"),
                shape("lying", "(2000000000, 1000)", "is truncated"),
                shape("notANumber", "(two, 3)", "an extent of its shape is expected"),
                shape("fraction", "(2.0, 3)", "')' is expected"),
                shape("none", "None", "'(' is expected"),
                shape("list", "[2, 3]", "'(' is expected"),
                shape("commaOnly", "(,)", "an extent of its shape is expected"),
                shape("tooManyDigits", "(99999999999999999999,)", "an extent of 20 digits"),
                shape("tooLarge", "(9999999999999999999,)", "9999999999999999999, which overflows"),
                shape("manyDigits", "(" + "9".repeat(60_000) + ",)", "an extent of 60000 digits"),
                shape("manyAxes", "(" + "1,".repeat(65) + ")", "has more than 64 axes"));
    }

    private static Stream<Arguments> types() {
        return Stream.of(
                descr("ints", "<i4"),
                descr("bytes", "|u1"),
                descr("bools", "|b1"),
                descr("complex", "<c8"),
                descr("longDoubles", "<f16"),
                descr("raw", "|V2"),
                descr("objects", "|O"),
                descr("noOrder", "f4"),
                descr("noType", ""),
                header("records", "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (6,)}", 24, "records"),
                header("halvesCut", NpyFiles.dictionary("<f2", "(2, 3)"), 11, "of float16 needs 12 bytes, but 11"),
                header("doublesCut", NpyFiles.dictionary(">f8", "(2, 3)"), 24, "of float64 needs 48 bytes, but 24"));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("zoo")
    void damagedFileIsRefusedByName(String name, byte[] bytes, String message) {
        Path file = NpyFiles.write(folder, name + ".npy", bytes);
        FormatException thrown = assertThrows(FormatException.class, () -> NpyArray.read(file));
        assertTrue(thrown.getMessage().startsWith(file.toString()), thrown.getMessage());
        assertTrue(thrown.getMessage().contains(message), thrown.getMessage());
        assertTrue(thrown.getMessage().length() < file.toString().length() + LONGEST_MESSAGE, thrown.getMessage());
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("zoo")
    void damagedFileGivesOneLineAndStatusOne(String name, byte[] bytes, String message) {
        Path file = NpyFiles.write(folder, name + ".npy", bytes);
        Outcome outcome = Outcome.of("inspect", file.toString(), "--quantizer", "bf16");
        assertEquals(1, outcome.status());
        assertEquals(1, outcome.err().lines().count(), outcome.err());
        assertTrue(outcome.err().startsWith("nibble: ") && outcome.err().contains(message), outcome.err());
        assertEquals("", outcome.out());
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3})
    void everyTruncationIsRefused(int version) {
        byte[] good = good(version);
        assertDoesNotThrow(() -> NpyArray.read(NpyFiles.write(folder, "good.npy", good)));
        for (int length = 0; length < good.length; length++) {
            Path file = NpyFiles.write(folder, "cut.npy", Arrays.copyOf(good, length));
            assertThrows(FormatException.class, () -> NpyArray.read(file), "cut to " + length);
        }
    }

    /** A changed file may be right; if not, it is a {@link FormatException} in one line, and nothing else. */
    private int refusals(int times, long seed) throws IOException {
        SplittableRandom random = new SplittableRandom(seed);
        Path file = folder.resolve("changed.npy");
        int refused = 0;
        for (int i = 0; i < times; i++) {
            Files.write(file, changed(good(1 + random.nextInt(3)), random));
            long before = LayerAllocationTests.allocated();
            try {
                NpyArray.read(file);
            } catch (FormatException | NonFiniteException e) {
                assertTrue(e.getMessage().startsWith(file.toString()), e.getMessage());
                assertEquals(1, e.getMessage().lines().count(), e.getMessage());
                refused++;
            }
            assertTrue(LayerAllocationTests.allocated() - before < MOST_ALLOCATED, "file " + i + " of seed " + seed);
        }
        return refused;
    }

    private static byte[] changed(byte[] good, SplittableRandom random) {
        byte[] bytes = good;
        for (int edits = 1 + random.nextInt(3); edits > 0 && bytes.length > 0; edits--) {
            int at = random.nextInt(Math.max(1, bytes.length - 20)); // mostly in the header
            int end = Math.min(bytes.length, at + random.nextInt(9));
            String by = HOSTILE.get(random.nextInt(HOSTILE.size()));
            bytes = switch (random.nextInt(5)) {
                case 0 -> with(bytes, at, random.nextInt(256));
                case 1 -> with(bytes, at, bytes[at] ^ 1 << random.nextInt(8));
                case 2 -> Arrays.copyOf(bytes, at);
                case 3 -> joined(bytes, at, "", end);
                default -> joined(bytes, at, by, end);
            };
        }
        return bytes;
    }

    private static byte[] joined(byte[] bytes, int from, String by, int to) {
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        all.write(bytes, 0, from);
        all.writeBytes(by.getBytes(StandardCharsets.ISO_8859_1));
        all.write(bytes, to, bytes.length - to);
        return all.toByteArray();
    }

    @Test
    void changedFilesAreReadOrRefused() throws IOException {
        int refused = refusals(2_000, 17);
        assertTrue(refused > 1_000, refused + " of 2000 are refused");
    }

    @Test
    @Tag("slow")
    void changedFilesAreReadOrRefusedAHundredThousandTimes() throws IOException {
        int refused = refusals(100_000, 18);
        assertTrue(refused > 50_000, refused + " of 100000 are refused");
    }
}
