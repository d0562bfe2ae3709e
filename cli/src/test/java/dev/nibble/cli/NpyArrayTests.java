package dev.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.error.FormatException;
import dev.nibble.error.NonFiniteException;
import dev.nibble.tensor.Shape;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

class NpyArrayTests {
    @TempDir
    Path folder;

    private static byte[] with(byte[] bytes, int at, int value) {
        byte[] changed = bytes.clone();
        changed[at] = (byte) value;
        return changed;
    }

    private static byte[] good() {
        return NpyFiles.bytes(NpyFiles.dictionary("<f4", "(2, 3)"), new byte[24]);
    }

    private static Arguments damaged(String name, byte[] bytes, String message) {
        return Arguments.of(name, bytes, message);
    }

    private static Arguments header(String name, String dictionary, int data, String message) {
        return Arguments.of(name, NpyFiles.bytes(dictionary, new byte[data]), message);
    }

    static Stream<Arguments> zoo() {
        return Stream.of(
                damaged("empty", new byte[0], "is not a .npy file"),
                damaged("text", "1 2 3\n4 5 6\n".getBytes(StandardCharsets.US_ASCII), "is not a .npy file"),
                damaged("magicOnly", Arrays.copyOf(good(), 6), "is truncated: it has 6 bytes"),
                damaged("badMagic", with(good(), 0, 0x94), "is not a .npy file"),
                damaged("version2", with(good(), 6, 2), "is of .npy version 2.0"),
                damaged("version3", with(good(), 6, 3), "is of .npy version 3.0"),
                damaged("version1dot1", with(good(), 7, 1), "is of .npy version 1.1"),
                damaged("longHeader", with(good(), 9, 0xFF), "its header needs"),
                damaged("headerCut", Arrays.copyOf(good(), 40), "its header needs"),
                damaged("dataCut", Arrays.copyOf(good(), good().length - 1), "is truncated: shape [2, 3]"),
                damaged("noData", Arrays.copyOf(good(), good().length - 24), "needs 24 bytes, but 0 follow"),
                damaged("moreData", Arrays.copyOf(good(), good().length + 4), "is damaged: shape [2, 3]"),
                damaged("noise", with(good(), 10, 'x'), "its header is damaged"),
                header("fortran", "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3)}", 24, "Fortran order"),
                header("bigEndian", NpyFiles.dictionary(">f4", "(2, 3)"), 24, "is big-endian"),
                header("ints", NpyFiles.dictionary("<i4", "(2, 3)"), 24, "elements of type '<i4'"),
                header("halves", NpyFiles.dictionary("<f2", "(2, 3)"), 12, "elements of type '<f2'"),
                header("objects", NpyFiles.dictionary("|O", "(2, 3)"), 48, "elements of type '|O'"),
                header("records", "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (6,)}", 24, "records"),
                header("negative", NpyFiles.dictionary("<f4", "(-2, -3)"), 24, "negative extent -2"),
                header("huge", NpyFiles.dictionary("<f4", "(4611686018427387904, 4)"), 24, "overflows"),
                header("hugeBytes", NpyFiles.dictionary("<f4", "(4611686018427387904,)"), 24, "overflows"),
                header("lying", NpyFiles.dictionary("<f4", "(2000000000, 1000)"), 24, "is truncated"),
                header("notANumber", NpyFiles.dictionary("<f4", "(two, 3)"), 24, "which is not a size"),
                header("tooManyDigits", NpyFiles.dictionary("<f4", "(99999999999999999999,)"), 24, "not a size"),
                header("missingShape", "{'descr': '<f4', 'fortran_order': False}", 24, "lacks descr"),
                header("twice", "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False}", 24, "'descr' twice"),
                header("unknownKey", "{'descr': '<f4', 'color': 'red'}", 24, "unknown key 'color'"),
                header("unclosed", "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3)", 24, "damaged"),
                header("trailing", NpyFiles.dictionary("<f4", "(2, 3)") + " {}", 24, "goes on after"));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("zoo")
    void damagedFileIsRefusedByName(String name, byte[] bytes, String message) {
        Path file = NpyFiles.write(folder, name + ".npy", bytes);
        FormatException thrown = assertThrows(FormatException.class, () -> NpyArray.read(file));
        assertTrue(thrown.getMessage().startsWith(file.toString()), thrown.getMessage());
        assertTrue(thrown.getMessage().contains(message), thrown.getMessage());
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

    @Test
    void goodFileIsRead() throws IOException {
        Path file = NpyFiles.floats(folder, "x.npy", Shape.of(2, 3), 1, -0f, 3, 4, Float.MIN_VALUE, Float.MAX_VALUE);
        NpyArray x = NpyArray.read(file);
        assertEquals(Shape.of(2, 3), x.shape());
        assertArrayEquals(new float[] {1, -0f, 3, 4, Float.MIN_VALUE, Float.MAX_VALUE}, x.values());
    }

    @Test
    void doublesAreRoundedToFloats() throws IOException {
        byte[] data = ByteBuffer.allocate(16)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putDouble(0.1)
                .putDouble(-2)
                .array();
        Path file = NpyFiles.write(folder, "d.npy", NpyFiles.bytes(NpyFiles.dictionary("<f8", "(2,)"), data));
        assertArrayEquals(new float[] {0.1f, -2}, NpyArray.read(file).values());
    }

    @Test
    void doubleBeyondFloatIsRefused() {
        byte[] data = ByteBuffer.allocate(8)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putDouble(1e300)
                .array();
        Path file = NpyFiles.write(folder, "d.npy", NpyFiles.bytes(NpyFiles.dictionary("<f8", "(1,)"), data));
        assertThrows(NonFiniteException.class, () -> NpyArray.read(file));
    }

    @Test
    void keysMayComeInAnyOrderAndWithDoubleQuotes() throws IOException {
        String dictionary = "{\"shape\":(1,2),'fortran_order':False,\"descr\":\"<f4\"}";
        Path file = NpyFiles.write(folder, "x.npy", NpyFiles.bytes(dictionary, new byte[8]));
        assertEquals(Shape.of(1, 2), NpyArray.read(file).shape());
    }

    @Test
    void scalarHasOneElement() throws IOException {
        Path file = NpyFiles.write(folder, "x.npy", NpyFiles.bytes(NpyFiles.dictionary("<f4", "()"), new byte[4]));
        assertEquals(0, NpyArray.read(file).shape().rank());
        assertEquals(1, NpyArray.read(file).values().length);
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 13, 127, 128, 129, 16384, 16385})
    void whatIsWrittenIsReadBack(int length) throws IOException {
        float[] values = new float[length];
        for (int i = 0; i < length; i++) {
            values[i] = (float) Math.sin(i);
        }
        Path file = NpyFiles.floats(folder, "x.npy", Shape.of(length), values);
        assertArrayEquals(values, NpyArray.read(file).values());
        byte[] bytes = java.nio.file.Files.readAllBytes(file);
        int header = (bytes[8] & 0xFF) | ((bytes[9] & 0xFF) << 8);
        assertEquals(0, (10 + header) % 64, "the data begin on a multiple of 64, as the format asks for");
        assertEquals('\n', bytes[10 + header - 1]);
    }

    @Test
    void firstBadValueIsNamedWithItsPosition() {
        NpyArray x = new NpyArray(Shape.of(2, 3), new float[] {1, 2, 3, 4, Float.NaN, Float.POSITIVE_INFINITY});
        NonFiniteException thrown = assertThrows(NonFiniteException.class, () -> x.requireUsable("x.npy"));
        assertEquals("x.npy[1, 1] is NaN; all values must be finite (2 of 6 are not)", thrown.getMessage());
    }
}
