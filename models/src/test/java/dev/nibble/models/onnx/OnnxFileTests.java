package dev.nibble.models.onnx;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.error.FormatException;
import dev.nibble.error.NibbleException;
import dev.nibble.models.files.HostileFile;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class OnnxFileTests {
    private static final float[] VALUES = {1, -2, 3.5f, Float.NaN, -0f, Float.MIN_VALUE};

    @TempDir
    private Path folder;

    private static byte[] small() {
        return OnnxBytes.model(new OnnxBytes()
                .message(1, OnnxBytes.node("MatMul", "x", "w", "y"))
                .message(5, OnnxBytes.tensor("w", VALUES, 2, 3))
                .message(5, OnnxBytes.tensor("empty", new float[0], 0, 3)));
    }

    private OnnxFile open(byte[] bytes) throws IOException {
        return OnnxFile.open(Files.write(folder.resolve("m.onnx"), bytes));
    }

    private String refusal(byte[] bytes) throws IOException {
        Path file = Files.write(folder.resolve("m.onnx"), bytes);
        String message = assertThrows(FormatException.class, () -> {
                    try (OnnxFile onnx = OnnxFile.open(file)) {
                        onnx.tensors().keySet().forEach(onnx::floats);
                    }
                })
                .getMessage();
        assertTrue(message.contains("m.onnx"), message);
        return message;
    }

    @Test
    void tensorsAndOperationsAreRead() throws IOException {
        try (OnnxFile onnx = open(small())) {
            assertEquals(List.of("w", "empty"), List.copyOf(onnx.tensors().keySet()));
            assertEquals(List.of(2L, 3L), onnx.tensors().get("w").dims());
            assertArrayEquals(VALUES, onnx.floats("w"));
            assertEquals(0, onnx.floats("empty").length);
            assertEquals(List.of(new OnnxNode("MatMul", List.of("x", "w"), List.of("y"))), onnx.nodes());
            assertThrows(IllegalArgumentException.class, () -> onnx.floats("v"));
        }
    }

    @Test
    void extentsInOneFieldAreRead() throws IOException {
        OnnxBytes tensor = new OnnxBytes()
                .bytes(1, new byte[] {2, 1})
                .number(2, 1)
                .text(8, "p")
                .bytes(4, new byte[8]);
        try (OnnxFile onnx = open(OnnxBytes.model(new OnnxBytes().message(5, tensor)))) {
            assertEquals(List.of(2L, 1L), onnx.tensors().get("p").dims());
            assertArrayEquals(new float[2], onnx.floats("p"));
        }
    }

    @Test
    void longTensorsAreReadInPieces() throws IOException {
        float[] values = new float[100_003];
        for (int i = 0; i < values.length; i++) {
            values[i] = i;
        }
        try (OnnxFile onnx =
                open(OnnxBytes.model(new OnnxBytes().message(5, OnnxBytes.tensor("t", values, 100_003))))) {
            assertArrayEquals(values, onnx.floats("t"));
        }
    }

    @Test
    void everyTruncationIsRefused() throws IOException {
        byte[] whole = small();
        for (int length = 0; length < whole.length; length++) {
            refusal(Arrays.copyOf(whole, length));
        }
    }

    @Test
    void aLengthBeyondTheMessageIsRefusedWithBothNumbers() throws IOException {
        byte[] lying = new OnnxBytes()
                .bytes(7, new byte[] {0x2A, (byte) 0xFF, (byte) 0xFF, (byte) 0xFF, 0x7F})
                .bytes();
        assertTrue(refusal(lying).contains("field 5 claims 268435455 bytes, but 0 are left"), refusal(lying));
        byte[] negative = new OnnxBytes().bytes();
        assertTrue(refusal(negative).contains("0 graphs"), refusal(negative));
        byte[] huge = {0x3A, -1, -1, -1, -1, -1, -1, -1, -1, -1, 1};
        assertTrue(refusal(huge).contains("claims 18446744073709551615 bytes"), refusal(huge));
        byte[] endless = new byte[20];
        Arrays.fill(endless, (byte) 0x80);
        assertTrue(refusal(endless).contains("more than ten bytes"), refusal(endless));
    }

    @Test
    void extentsThatTheBytesDoNotFillAreRefused() throws IOException {
        for (long[] dims : new long[][] {{7}, {2, 4}, {1L << 40, 1L << 40}, {-1}, {Long.MAX_VALUE}, new long[17]}) {
            refusal(OnnxBytes.model(new OnnxBytes().message(5, OnnxBytes.tensor("w", VALUES, dims))));
        }
    }

    @Test
    void otherTypesAndFilesAreRefusedByName() throws IOException {
        OnnxBytes int8 = new OnnxBytes().number(1, 1).number(2, 3).text(8, "q").bytes(9, new byte[1]);
        assertTrue(refusal(OnnxBytes.model(new OnnxBytes().message(5, int8))).contains("'q' has element type 3"));
        OnnxBytes external =
                new OnnxBytes().number(1, 1).number(2, 1).text(8, "far").number(14, 1);
        assertTrue(
                refusal(OnnxBytes.model(new OnnxBytes().message(5, external))).contains("in another file"));
        OnnxBytes twice = new OnnxBytes()
                .message(5, OnnxBytes.tensor("w", VALUES, 6))
                .message(5, OnnxBytes.tensor("w", VALUES, 6));
        assertTrue(refusal(OnnxBytes.model(twice)).contains("two tensors named 'w'"));
        OnnxBytes noText = new OnnxBytes().bytes(8, new byte[] {(byte) 0xC3});
        assertTrue(refusal(OnnxBytes.model(new OnnxBytes().message(5, noText))).contains("not UTF-8"));
    }

    @Test
    void whatIsNotThereIsSaid() {
        assertTrue(assertThrows(NibbleException.class, () -> OnnxFile.open(folder.resolve("none.onnx")))
                .getMessage()
                .contains("does not exist"));
        assertThrows(FormatException.class, () -> OnnxFile.open(folder));
    }

    private static void readAll(Path file) {
        try (OnnxFile onnx = OnnxFile.open(file)) {
            onnx.tensors().keySet().forEach(onnx::floats);
        }
    }

    @Test
    void damagedFilesAreReadOrRefused() throws IOException {
        int refused = new HostileFile(folder.resolve("m.onnx"), small(), List.of(), OnnxFileTests::readAll)
                .refusals(1_000, 1);
        assertTrue(refused > 500, refused + " of 1000 were refused");
    }

    @Test
    @Tag("slow")
    void damagedFilesAreReadOrRefusedAHundredThousandTimes() throws IOException {
        int refused = new HostileFile(folder.resolve("m.onnx"), small(), List.of(), OnnxFileTests::readAll)
                .refusals(100_000, 2);
        assertTrue(refused > 50_000, refused + " of 100000 were refused");
    }
}
