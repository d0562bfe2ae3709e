package dev.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.nibble.error.NonFiniteException;
import dev.nibble.tensor.Shape;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HexFormat;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class NpyArrayTests {
    @TempDir
    Path folder;

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

    /**
     * The elements of every type, byte order and version, in the values that have an exact form in each: zero of either
     * sign, the smallest subnormal and the largest number of float16, and numbers between.
     */
    @ParameterizedTest
    @CsvSource({
        "<f2, 1", "<f2, 2", "<f2, 3", ">f2, 1", ">f2, 2", ">f2, 3", "<f4, 1", "<f4, 2", "<f4, 3",
        ">f4, 1", ">f4, 2", ">f4, 3", "<f8, 1", "<f8, 2", "<f8, 3", ">f8, 1", ">f8, 2", ">f8, 3"
    })
    void everyTypeIsReadInEitherByteOrderAndEachVersion(String descr, int version) throws IOException {
        float[] x = {0, -0f, 1, -2.5f, 0x1p-24f, 65504, 1023 * 0x1p-24f};
        byte[] file = NpyFiles.bytes(version, NpyFiles.dictionary(descr, "(7,)"), encode(descr, x));
        NpyArray read = NpyArray.read(NpyFiles.write(folder, "x.npy", file));
        assertEquals(Shape.of(7), read.shape());
        assertBits(x, read.values());
    }

    private static byte[] encode(String descr, float... values) {
        ByteBuffer data = ByteBuffer.allocate(values.length * (descr.charAt(2) - '0'))
                .order(descr.startsWith("<") ? ByteOrder.LITTLE_ENDIAN : ByteOrder.BIG_ENDIAN);
        for (float value : values) {
            switch (descr.charAt(2)) {
                case '2' -> data.putShort(Float.floatToFloat16(value));
                case '4' -> data.putFloat(value);
                default -> data.putDouble(value);
            }
        }
        return data.array();
    }

    private static void assertBits(float[] expected, float[] got) {
        assertEquals(expected.length, got.length);
        for (int i = 0; i < expected.length; i++) {
            assertEquals(Float.floatToRawIntBits(expected[i]), Float.floatToRawIntBits(got[i]), "element " + i);
        }
    }

    /** What is not finite stays so, in every type: {@link NpyArray#requireUsable} then names it. */
    @ParameterizedTest
    @ValueSource(strings = {"<f2", ">f2", "<f4", ">f4", "<f8", ">f8"})
    void notFiniteStaysNotFinite(String descr) throws IOException {
        byte[] data = encode(descr, 1, Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY);
        Path file = NpyFiles.write(folder, "x.npy", NpyFiles.bytes(NpyFiles.dictionary(descr, "(2, 2)"), data));
        assertArrayEquals(
                new float[] {1, Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY},
                NpyArray.read(file).values());
    }

    /** numpy.save of numpy.asfortranarray([[0, 1, 2], [3, 4, 5]], '>f2') in version 2.0, by NumPy 2.4.6. */
    @Test
    void fileOfNumpyIsRead() throws IOException {
        byte[] start = HexFormat.of().parseHex("934e554d5059020074000000");
        byte[] header = ("{'descr': '>f2', 'fortran_order': True, 'shape': (2, 3), }" + " ".repeat(57) + "\n")
                .getBytes(StandardCharsets.US_ASCII);
        byte[] data = HexFormat.of().parseHex("000042003c00440040004500");
        ByteBuffer file = ByteBuffer.allocate(140).put(start).put(header).put(data);
        assertEquals(0, file.remaining());
        NpyArray x = NpyArray.read(NpyFiles.write(folder, "x.npy", file.array()));
        assertEquals(Shape.of(2, 3), x.shape());
        assertArrayEquals(new float[] {0, 1, 2, 3, 4, 5}, x.values());
    }

    /** In Fortran order element [i0, i1, …] lies at i0 + d0·(i1 + d1·(…)); row-major, element e has the value e. */
    @ParameterizedTest
    @ValueSource(
            strings = {"(1, 1)", "(2, 3)", "(3, 2)", "(13, 127)", "(128, 129)", "(2, 3, 5)", "(1, 7, 1)", "(3, 1, 2, 4)"
            })
    void fortranOrderBecomesRowMajor(String extents) throws IOException {
        int[] dims = Arrays.stream(extents.replaceAll("[()]", "").split(", ", -1))
                .mapToInt(Integer::parseInt)
                .toArray();
        int elements = Arrays.stream(dims).reduce(1, (a, b) -> a * b);
        float[] expected = new float[elements]; // [elements], row-major
        float[] stored = new float[elements]; // [elements], first axis contiguous
        for (int e = 0; e < elements; e++) {
            expected[e] = e;
            int rest = e;
            int at = 0;
            for (int axis = dims.length - 1; axis >= 0; axis--) {
                int index = rest % dims[axis];
                rest /= dims[axis];
                int stride = 1;
                for (int before = 0; before < axis; before++) {
                    stride *= dims[before];
                }
                at += index * stride;
            }
            stored[at] = e;
        }
        byte[] file = NpyFiles.bytes(NpyFiles.dictionary("<f4", true, extents), encode("<f4", stored));
        NpyArray x = NpyArray.read(NpyFiles.write(folder, "x.npy", file));
        assertEquals(
                Arrays.stream(dims).mapToObj(d -> (long) d).toList(), x.shape().dims());
        assertArrayEquals(expected, x.values());
    }

    @ParameterizedTest
    @ValueSource(strings = {"()", "(1,)", "(3,)", "(0, 3)", "(3, 0, 9223372036854775807)"})
    void fortranOrderOfOneAxisOrOfNothingIsRowMajor(String extents) throws IOException {
        String descr = "<f4";
        float[] x = extents.equals("(3,)") ? new float[] {1, 2, 3} : new float[extents.contains("0") ? 0 : 1];
        byte[] file = NpyFiles.bytes(NpyFiles.dictionary(descr, true, extents), encode(descr, x));
        assertArrayEquals(
                x, NpyArray.read(NpyFiles.write(folder, "x.npy", file)).values());
    }

    /** An element that is on the border of two reads of 65536 bytes must not be torn. */
    @ParameterizedTest
    @CsvSource({"<f2, 32767", "<f2, 32769", ">f4, 16384", ">f4, 16385", "<f8, 8191", ">f8, 8193"})
    void chunksJoinWithoutASeam(String descr, int length) throws IOException {
        float[] x = new float[length];
        for (int i = 0; i < length; i++) {
            x[i] = i % 2048; // exact in float16
        }
        byte[] file = NpyFiles.bytes(2, NpyFiles.dictionary(descr, "(" + length + ",)"), encode(descr, x));
        assertArrayEquals(
                x, NpyArray.read(NpyFiles.write(folder, "x.npy", file)).values());
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

    @Test
    void scalarThatIsNotFiniteHasNoPosition() {
        NpyArray x = new NpyArray(Shape.of(), new float[] {Float.NEGATIVE_INFINITY});
        NonFiniteException thrown = assertThrows(NonFiniteException.class, () -> x.requireUsable("x.npy"));
        assertEquals("x.npy is -Infinity; all values must be finite (1 of 1 are not)", thrown.getMessage());
    }
}
