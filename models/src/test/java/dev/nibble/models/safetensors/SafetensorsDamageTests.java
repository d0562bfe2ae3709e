package dev.nibble.models.safetensors;

import static dev.nibble.models.safetensors.SafetensorsBytes.entry;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.error.FormatException;
import dev.nibble.models.files.HostileFile;
import dev.nibble.tensor.Shape;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

class SafetensorsDamageTests {
    private static final int LONGEST_MESSAGE = 600;

    @TempDir
    Path folder;

    private static byte[] good() {
        ByteArrayOutputStream stream = new ByteArrayOutputStream();
        try {
            SafetensorsWriter.write(
                    stream,
                    Map.of("format", "test"),
                    List.of(
                            TensorContent.floats("a", ElementType.F32, Shape.of(2, 3), () -> new float[6]),
                            TensorContent.floats("b", ElementType.BF16, Shape.of(5), () -> new float[5]),
                            TensorContent.bytes("c", ElementType.I8, Shape.of(1, 1, 3), () -> new byte[3])));
        } catch (IOException e) {
            throw new AssertionError(e);
        }
        return stream.toByteArray();
    }

    private static Arguments file(String name, byte[] bytes, String message) {
        return Arguments.of(name, bytes, message);
    }

    private static Arguments header(String name, String header, int data, String message) {
        return Arguments.of(name, SafetensorsBytes.of(header, data), message);
    }

    private static Arguments tensor(String name, String dtype, String shape, String offsets, String message) {
        return header(name, "{" + entry("a", dtype, shape, offsets) + "}", 8, message);
    }

    private static byte[] withLength(long length) {
        byte[] bytes = good();
        ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).putLong(0, length);
        return bytes;
    }

    static Stream<Arguments> zoo() {
        return Stream.of(files(), headers(), tensors(), places()).flatMap(s -> s);
    }

    private static Stream<Arguments> files() {
        return Stream.of(
                file("empty", new byte[0], "is truncated: it has 0 bytes"),
                file("sevenBytes", new byte[7], "is truncated: it has 7 bytes"),
                file("noHeader", new byte[8], "does not begin with '{'"),
                file(
                        "hugeHeader",
                        withLength(100_000_001),
                        "claims a header of 100000001 bytes, but at most 100000000"),
                file("negativeHeader", withLength(-1), "claims a header of 18446744073709551615 bytes"),
                file("wrappingHeader", withLength(Long.MAX_VALUE - 3), "claims a header of 9223372036854775804 bytes"),
                file("headerBeyondTheFile", withLength(10_000), "is truncated: its header needs 10000 bytes, but"),
                file("headerCut", withLength(20), "is damaged JSON"),
                file("dataCut", Arrays.copyOf(good(), good().length - 1), "the file is truncated"),
                file("moreData", Arrays.copyOf(good(), good().length + 5), "it has 5 too many"));
    }

    private static Stream<Arguments> headers() {
        byte[] noText = "{\"a\":1}".getBytes(StandardCharsets.ISO_8859_1);
        noText[2] = (byte) 0xFF;
        return Stream.of(
                header("noise", "xxxx", 0, "is damaged JSON"),
                header("list", "[]", 0, "does not begin with '{'"),
                header("text", "\"a\"", 0, "does not begin with '{'"),
                header("noUtf8", "{\"\u00ff\":1}", 0, "tensor '\u00ff' is 1, but must be an object"),
                file("invalidUtf8", SafetensorsBytes.of(noText, 0), "it is no UTF-8 text"),
                header("unclosed", "{\"a\":", 0, "is damaged JSON"),
                header("trailing", "{} {}", 0, "goes on after its JSON object"),
                header("deep", "[".repeat(100_000), 0, "does not begin with '{'"),
                header("deepInside", "{\"a\":" + "[".repeat(100_000), 0, "nested deeper than 3 levels"),
                header("deepObjects", "{\"a\":".repeat(100_000), 0, "nested deeper than 3 levels"),
                header("longName", "{\"" + "n".repeat(60_000) + "\":1}", 0, "too long"),
                header("longNumber", "{\"a\":" + "9".repeat(60_000) + "}", 0, "too long"),
                header("bigNumber", "{\"a\":99999999999999999999}", 0, "the number 99999999999999999999, which is out"),
                header("nothing", "{\"a\":null}", 0, "a value that is nothing"),
                header("number", "{\"a\":4}", 0, "tensor 'a' is 4, but must be an object"),
                header("metadataList", "{\"__metadata__\":[]}", 0, "'__metadata__' is a list, but must be an object"),
                header("metadataNumber", "{\"__metadata__\":{\"k\":4}}", 0, "'k' is 4, but must be a text"),
                header(
                        "twice",
                        "{" + entry("a", "U8", "[8]", "[0,8]") + "," + entry("a", "U8", "[8]", "[0,8]") + "}",
                        8,
                        "has 'a' twice in one object"),
                header("controlCharacters", "{\"a\\n\\u001b[2J\":4}", 0, "tensor 'a??[2J' is 4"));
    }

    private static Stream<Arguments> tensors() {
        return Stream.of(
                header("noDtype", "{\"a\":{\"shape\":[8],\"data_offsets\":[0,8]}}", 8, "tensor 'a' has no 'dtype'"),
                header("noShape", "{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,8]}}", 8, "tensor 'a' has no 'shape'"),
                header("noOffsets", "{\"a\":{\"dtype\":\"U8\",\"shape\":[8]}}", 8, "tensor 'a' has no 'data_offsets'"),
                header(
                        "unknownKey",
                        "{\"a\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8],\"color\":1}}",
                        8,
                        "tensor 'a' has the unknown key 'color'"),
                tensor(
                        "unknownType",
                        "F4",
                        "[8]",
                        "[0,8]",
                        "tensor 'a' has elements of type 'F4', but known are [BOOL"),
                tensor("negative", "U8", "[-8]", "[0,8]", "the extent -8 in its shape"),
                tensor("fraction", "U8", "[8.0]", "[0,8]", "the extent 8.0 in its shape"),
                tensor("words", "U8", "[\"8\"]", "[0,8]", "the extent the text '8' in its shape"),
                tensor("noList", "U8", "8", "[0,8]", "'shape' is 8, but must be a list"),
                tensor("wraps", "U8", "[4294967296,4294967296,8]", "[0,8]", "whose size overflows"),
                tensor("wrapsBeforeZero", "U8", "[4294967296,4294967296,0]", "[0,0]", "whose size overflows"),
                tensor("wrapsInBytes", "F64", "[2305843009213693953]", "[0,8]", "whose size overflows"),
                tensor("manyAxes", "U8", "[" + "1,".repeat(64) + "8]", "[0,8]", "has 65 axes, but at most 64"),
                tensor(
                        "tooSmall",
                        "F32",
                        "[3]",
                        "[0,8]",
                        "type F32 needs 12 bytes, but its data_offsets are 0..8, 8 bytes"),
                tensor("tooLarge", "F32", "[1]", "[0,8]", "type F32 needs 4 bytes, but its data_offsets are 0..8"));
    }

    private static Stream<Arguments> places() {
        String two = "{" + entry("a", "U8", "[4]", "%s") + "," + entry("b", "U8", "[4]", "%s") + "}";
        return Stream.of(
                tensor("oneOffset", "U8", "[8]", "[0]", "that are not two whole numbers"),
                tensor("threeOffsets", "U8", "[8]", "[0,8,8]", "that are not two whole numbers"),
                tensor("backwards", "U8", "[8]", "[8,0]", "the second not below the first"),
                tensor("negativeOffset", "U8", "[8]", "[-8,0]", "that are not two whole numbers"),
                tensor("beyond", "U8", "[8]", "[8,16]", "ends at byte 16 of the data, but 8 follow the header"),
                tensor("farBeyond", "U8", "[8]", "[0,9223372036854775807]", "ends at byte 9223372036854775807"),
                header(
                        "gap",
                        two.formatted("[0,4]", "[5,9]"),
                        9,
                        "'b' begins at byte 5 of the data, but tensor 'a' ends at 4"),
                header(
                        "late",
                        two.formatted("[1,5]", "[5,9]"),
                        9,
                        "'a' begins at byte 1 of the data, but the header ends"),
                header("overlap", two.formatted("[0,4]", "[3,7]"), 7, "but tensor 'a' ends at 4; they overlap"),
                header("same", two.formatted("[0,4]", "[0,4]"), 4, "they overlap"),
                header("unused", two.formatted("[0,4]", "[4,8]"), 11, "has 11 bytes of data, but its tensors need 8"));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("zoo")
    void damagedFileIsRefusedByName(String name, byte[] bytes, String message) {
        Path file = SafetensorsBytes.write(folder, name + ".safetensors", bytes);
        FormatException thrown = assertThrows(FormatException.class, () -> SafetensorsFile.open(file));
        assertTrue(thrown.getMessage().contains(file.toString()), thrown.getMessage());
        assertTrue(thrown.getMessage().contains(message), thrown.getMessage());
        assertTrue(thrown.getMessage().length() < file.toString().length() + LONGEST_MESSAGE, thrown.getMessage());
        assertEquals(1, thrown.getMessage().lines().count(), thrown.getMessage());
    }

    @Test
    void everyTruncationIsRefused() {
        byte[] good = good();
        SafetensorsFile.open(SafetensorsBytes.write(folder, "good.safetensors", good))
                .close();
        for (int length = 0; length < good.length; length++) {
            Path file = SafetensorsBytes.write(folder, "cut.safetensors", Arrays.copyOf(good, length));
            assertThrows(FormatException.class, () -> SafetensorsFile.open(file), "cut to " + length);
        }
    }

    /** A header of 90 MB is claimed by a file of that size with nothing in it: the disk backs it, and it is refused. */
    @Test
    void sparseFileIsRefusedWithoutHarm() throws IOException {
        Path file = folder.resolve("sparse.safetensors");
        try (RandomAccessFile sparse = new RandomAccessFile(file.toFile(), "rw")) {
            sparse.write(ByteBuffer.allocate(8)
                    .order(ByteOrder.LITTLE_ENDIAN)
                    .putLong(9_000_000)
                    .array());
            sparse.setLength(10_000_000);
        }
        assertThrows(FormatException.class, () -> SafetensorsFile.open(file));
    }

    @Test
    void changedFileIsReadOrRefused() throws IOException {
        int refused = refusals(1_000, 17);
        assertTrue(refused > 600, refused + " of 1000 are refused");
    }

    @Test
    @Tag("slow")
    void changedFileIsReadOrRefusedAHundredThousandTimes() throws IOException {
        int refused = refusals(100_000, 18);
        assertTrue(refused > 60_000, refused + " of 100000 are refused");
    }

    private int refusals(int times, long seed) throws IOException {
        List<String> words = new ArrayList<>(HostileFile.JSON);
        words.addAll(List.of("\"F32\"", "\"F4\"", "\"F64\"", "[4294967296,4294967296]"));
        return new HostileFile(folder.resolve("x.safetensors"), good(), words, SafetensorsDamageTests::readAll)
                        .refusals(times, seed)
                + new HostileFile(folder.resolve("x.safetensors"), good(), List.of(), SafetensorsDamageTests::readAll)
                        .refusals(times / 4, seed);
    }

    /** What opens can be read to its end. */
    private static void readAll(Path file) {
        try (SafetensorsFile tensors = SafetensorsFile.open(file)) {
            for (TensorEntry entry : tensors.tensors().values()) {
                if (entry.type().isReal()) {
                    assertEquals(entry.shape().elements(), tensors.floats(entry.name()).length);
                } else if (entry.type().isWhole()) {
                    assertEquals(entry.shape().elements(), tensors.wholes(entry.name()).length);
                }
            }
        }
    }
}
