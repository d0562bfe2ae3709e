package dev.nibble.models.safetensors;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.error.FormatException;
import dev.nibble.error.NibbleException;
import dev.nibble.tensor.Bf16;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Fp16;
import dev.nibble.tensor.Fp8;
import dev.nibble.tensor.Shape;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class SafetensorsFileTests {
    private static final float[] SPECIAL = {
        0f, -0f, 1f, -1.5f, Float.MIN_VALUE, -Float.MIN_NORMAL, Float.MAX_VALUE, Float.NaN, Float.NEGATIVE_INFINITY
    };

    @TempDir
    Path folder;

    private Path write(Map<String, String> metadata, TensorContent... tensors) {
        Path file = folder.resolve("a.safetensors");
        SafetensorsWriter.write(file, metadata, List.of(tensors));
        return file;
    }

    private static TensorContent f32(String name, float... values) {
        return TensorContent.floats(name, ElementType.F32, Shape.of(values.length), () -> values);
    }

    /** The bytes were put together by hand from the description of the format. */
    @Test
    void fileOfTheDescriptionIsRead() {
        String header = "{\"__metadata__\":{\"format\":\"pt\"},"
                + SafetensorsBytes.entry("b", "U8", "[2,1]", "[8,10]") + ","
                + SafetensorsBytes.entry("a", "F32", "[2]", "[0,8]") + "}   ";
        Path path = SafetensorsBytes.write(folder, "hand.safetensors", SafetensorsBytes.of(header, 10));
        try (SafetensorsFile file = SafetensorsFile.open(path)) {
            assertEquals(Map.of("format", "pt"), file.metadata());
            assertEquals(List.of("a", "b"), new ArrayList<>(file.tensors().keySet()));
            assertEquals(new TensorEntry("b", ElementType.U8, Shape.of(2, 1), 8, 10), file.tensor("b"));
            assertArrayEquals(
                    new float[] {Float.intBitsToFloat(0x03020100), Float.intBitsToFloat(0x07060504)}, file.floats("a"));
            assertArrayEquals(new long[] {8, 9}, file.wholes("b"));
        }
    }

    @Test
    void writtenBytesAreThoseOfTheDescription() throws IOException {
        Path file = write(Map.of("k", "v"), f32("x", 1f));
        String header =
                "{\"__metadata__\":{\"k\":\"v\"},\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}";
        int length = Math.ceilDiv(header.length(), 8) * 8;
        byte[] expected =
                Arrays.copyOf(SafetensorsBytes.of(header + " ".repeat(length - header.length()), 0), 8 + length + 4);
        ByteBuffer.wrap(expected).order(ByteOrder.LITTLE_ENDIAN).putFloat(8 + length, 1f);
        assertArrayEquals(expected, Files.readAllBytes(file));
    }

    @Test
    void fp32IsReadBackBitForBit() {
        SplittableRandom random = new SplittableRandom(3);
        for (int size : new int[] {0, 1, 13, 127, 128, 129, 65_535, 65_536, 65_537, 200_000}) {
            float[] values = new float[size]; // [size]
            for (int i = 0; i < size; i++) {
                values[i] = i < SPECIAL.length ? SPECIAL[i] : Float.intBitsToFloat(random.nextInt());
            }
            try (SafetensorsFile file = SafetensorsFile.open(write(Map.of(), f32("x", values)))) {
                assertArrayEquals(bits(values), bits(file.floats("x")), size + " values");
            }
        }
    }

    private static int[] bits(float[] values) {
        return IntStream.range(0, values.length)
                .map(i -> Float.floatToRawIntBits(values[i]))
                .toArray();
    }

    @ParameterizedTest
    @EnumSource(names = {"F16", "BF16", "F8_E4M3", "F8_E5M2"})
    void narrowTypesAreRoundedOnceAndReadExactly(ElementType type) {
        float[] values = Arrays.copyOf(SPECIAL, 40);
        for (int i = SPECIAL.length; i < values.length; i++) {
            values[i] = (i - 20) * 0.37f;
        }
        TensorContent tensor = TensorContent.floats("x", type, Shape.of(4, 10), () -> values);
        try (SafetensorsFile file = SafetensorsFile.open(write(Map.of(), tensor))) {
            float[] read = file.floats("x");
            for (int i = 0; i < values.length; i++) {
                float expected = switch (type) {
                    case F16 -> Fp16.decode(Fp16.encode(values[i]));
                    case BF16 -> Bf16.roundTrip(values[i]);
                    case F8_E4M3 -> Fp8.decode(DType.E4M3, Fp8.encode(DType.E4M3, values[i]));
                    default -> Fp8.decode(DType.E5M2, Fp8.encode(DType.E5M2, values[i]));
                };
                assertEquals(Float.floatToIntBits(expected), Float.floatToIntBits(read[i]), values[i] + " as " + type);
            }
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"U8", "I8", "I16", "I32", "I64"})
    void wholeNumbersAreReadToTheirLimits(ElementType type) {
        int size = type.byteSize();
        byte[] bytes = new byte[3 * size];
        Arrays.fill(bytes, 0, size, (byte) -1);
        bytes[2 * size - 1] = (byte) 0x80;
        Arrays.fill(bytes, 2 * size, 3 * size, (byte) -1);
        bytes[3 * size - 1] = 0x7F;
        TensorContent tensor = TensorContent.bytes("x", type, Shape.of(3), () -> bytes);
        long top = (1L << (8 * size - 1)) - 1;
        long[] expected = type == ElementType.U8 ? new long[] {255, 128, 127} : new long[] {-1, -top - 1, top};
        try (SafetensorsFile file = SafetensorsFile.open(write(Map.of(), tensor))) {
            assertArrayEquals(expected, file.wholes("x"));
        }
    }

    @Test
    void everyTensorBeginsAtAMultipleOfItsElements() {
        List<TensorContent> tensors = new ArrayList<>();
        SplittableRandom random = new SplittableRandom(5);
        for (ElementType type : ElementType.values()) {
            int count = random.nextInt(7);
            tensors.add(
                    TensorContent.bytes(type.name(), type, Shape.of(count), () -> new byte[count * type.byteSize()]));
        }
        Path path = write(Map.of("note", "äöü \" \\ \u0001"), tensors.toArray(TensorContent[]::new));
        try (SafetensorsFile file = SafetensorsFile.open(path)) {
            assertEquals(ElementType.values().length, file.tensors().size());
            assertEquals("äöü \" \\ \u0001", file.metadata().get("note"));
            long end = 0;
            for (TensorEntry entry : file.tensors().values()) {
                assertEquals(0, entry.begin() % entry.type().byteSize(), entry.name());
                assertEquals(end, entry.begin());
                end = entry.end();
            }
        }
    }

    @Test
    void scalarsAndTensorsWithoutElementsAreTensors() {
        TensorContent scalar = TensorContent.floats("s", ElementType.F32, Shape.of(), () -> new float[] {3});
        TensorContent none = TensorContent.floats("n", ElementType.F32, Shape.of(3, 0, 5), () -> new float[0]);
        try (SafetensorsFile file = SafetensorsFile.open(write(Map.of(), none, scalar, f32("x")))) {
            assertArrayEquals(new float[] {3}, file.floats("s"));
            assertEquals(0, file.floats("n").length);
            assertEquals(Shape.of(3, 0, 5), file.tensor("n").shape());
        }
        try (SafetensorsFile file = SafetensorsFile.open(write(Map.of()))) {
            assertTrue(file.tensors().isEmpty() && file.metadata().isEmpty());
        }
    }

    @Test
    void unknownNameAndWrongTypeAreTold() {
        TensorContent ids = TensorContent.bytes("ids", ElementType.I64, Shape.of(1), () -> new byte[8]);
        Path path = write(Map.of(), f32("weight", 1), ids);
        try (SafetensorsFile file = SafetensorsFile.open(path)) {
            IllegalArgumentException unknown = assertThrows(IllegalArgumentException.class, () -> file.floats("wight"));
            assertEquals(
                    path + " holds no tensor 'wight'; known: ids, weight. Did you mean 'weight'?",
                    unknown.getMessage());
            FormatException whole = assertThrows(FormatException.class, () -> file.floats("ids"));
            assertEquals(
                    path + ": tensor 'ids' holds elements of type I64, but one of F8_E5M2, F8_E4M3, F16, BF16, F32 is"
                            + " needed",
                    whole.getMessage());
            assertThrows(FormatException.class, () -> file.wholes("weight"));
        }
    }

    @Test
    void missingFileAndFolderAreTold() {
        Path missing = folder.resolve("missing.safetensors");
        NibbleException absent = assertThrows(NibbleException.class, () -> SafetensorsFile.open(missing));
        assertEquals(missing + " does not exist", absent.getMessage());
        assertThrows(FormatException.class, () -> SafetensorsFile.open(folder));
    }

    @Test
    void fileThatGetsShorterWhileItIsOpenIsTold() throws IOException {
        Path path = write(Map.of(), f32("x", new float[100]));
        try (SafetensorsFile file = SafetensorsFile.open(path)) {
            Files.write(path, Arrays.copyOf(Files.readAllBytes(path), 100));
            FormatException shorter = assertThrows(FormatException.class, () -> file.floats("x"));
            assertEquals(path + " became shorter while it was read", shorter.getMessage());
        }
    }

    @Test
    void writerRefusesANameTwiceAndValuesThatDoNotFill() {
        assertThrows(IllegalArgumentException.class, () -> write(Map.of(), f32("x", 1), f32("x", 2)));
        TensorContent few = TensorContent.floats("x", ElementType.F32, Shape.of(3), () -> new float[2]);
        IllegalArgumentException e = assertThrows(IllegalArgumentException.class, () -> write(Map.of(), few));
        assertEquals("tensor x of shape [3] needs 3 values, but gets 2", e.getMessage());
        assertFalse(Files.exists(folder.resolve("a.safetensors")));
    }
}
