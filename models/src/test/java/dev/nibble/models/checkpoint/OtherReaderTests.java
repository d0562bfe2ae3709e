package dev.nibble.models.checkpoint;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.types.DataType;
import ai.djl.util.passthrough.PassthroughNDManager;
import dev.nibble.models.files.AtomicFile;
import dev.nibble.models.files.JsonTree;
import dev.nibble.models.safetensors.ElementType;
import dev.nibble.models.safetensors.SafetensorsWriter;
import dev.nibble.models.safetensors.TensorContent;
import dev.nibble.tensor.Bf16;
import dev.nibble.tensor.Shape;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What is exported, read by another library: that of the Deep Java Library, which knows all types but FP8. */
class OtherReaderTests {
    private static final String MATRIX = "blocks.0.mlp.down.weight";
    private static final String VECTOR = "norm.weight";
    private static final int ROWS = 3;
    private static final int COLS = 5;

    @TempDir
    Path folder;

    private final float[] matrix = values(ROWS * COLS, 1); // [3, 5]
    private final float[] vector = values(COLS, 2); // [5]

    private static float[] values(int count, long seed) {
        SplittableRandom random = new SplittableRandom(seed);
        float[] values = new float[count]; // [count]
        for (int i = 0; i < count; i++) {
            values[i] = (float) random.nextDouble(-2, 2);
        }
        return values;
    }

    private byte[] exported(ElementType type, Optional<CodeFormat> codes) throws IOException {
        Map<CheckpointFile, AtomicFile.Content> contents = new EnumMap<>(CheckpointFile.class);
        for (CheckpointFile file : CheckpointFile.values()) {
            contents.put(file, stream -> stream.write('x'));
        }
        contents.remove(CheckpointFile.AVERAGES);
        List<TensorContent> tensors = List.of(
                TensorContent.floats(MATRIX, ElementType.F32, Shape.of(ROWS, COLS), () -> matrix),
                TensorContent.floats(VECTOR, ElementType.F32, Shape.of(COLS), () -> vector));
        contents.put(CheckpointFile.MODEL, stream -> SafetensorsWriter.write(stream, Map.of(), tensors));
        Map<String, Object> configuration = Map.of("settings", Map.of("model.heads", "1"));
        String state = JsonTree.text(Map.of("step", 7, "configurationHash", "abc", "configuration", configuration));
        contents.put(CheckpointFile.STATE, stream -> stream.write(state.getBytes(StandardCharsets.UTF_8)));
        Checkpoint checkpoint = new CheckpointStore(folder.resolve("checkpoints")).write(7, contents);
        Path out = folder.resolve("out.safetensors");
        ModelExport.write(checkpoint, type, codes, out);
        return Files.readAllBytes(out);
    }

    private static Map<String, NDArray> read(byte[] file) {
        Map<String, NDArray> arrays = new LinkedHashMap<>();
        for (NDArray array : NDList.decode(PassthroughNDManager.INSTANCE, file)) {
            arrays.put(array.getName(), array);
        }
        return arrays;
    }

    private static ByteBuffer bytes(NDArray array) {
        return array.toByteBuffer().order(ByteOrder.LITTLE_ENDIAN);
    }

    private static float[] floats(NDArray array) {
        float[] values = new float[(int) array.size()];
        bytes(array).asFloatBuffer().get(values);
        return values;
    }

    private static byte[] codes(NDArray array) {
        byte[] codes = new byte[(int) array.size()];
        bytes(array).get(codes);
        return codes;
    }

    @Test
    void fp32IsReadBitForBit() throws IOException {
        Map<String, NDArray> arrays = read(exported(ElementType.F32, Optional.empty()));
        assertEquals(Set.of(MATRIX, VECTOR), arrays.keySet());
        assertArrayEquals(new long[] {ROWS, COLS}, arrays.get(MATRIX).getShape().getShape());
        assertEquals(DataType.FLOAT32, arrays.get(MATRIX).getDataType());
        assertArrayEquals(matrix, floats(arrays.get(MATRIX)));
        assertArrayEquals(vector, floats(arrays.get(VECTOR)));
    }

    @Test
    void bf16IsReadBitForBit() throws IOException {
        Map<String, NDArray> arrays = read(exported(ElementType.BF16, Optional.empty()));
        assertEquals(DataType.BFLOAT16, arrays.get(MATRIX).getDataType());
        ByteBuffer bytes = bytes(arrays.get(MATRIX));
        for (float value : matrix) {
            assertEquals(Bf16.encode(value), bytes.getShort());
        }
        assertEquals(0, bytes.remaining());
    }

    /** {@return code times scale, [3, 5]} */
    private static float[] scaled(int[] codes, float[] scales) {
        float[] values = new float[codes.length]; // [3, 5]
        for (int i = 0; i < codes.length; i++) {
            values[i] = codes[i] * scales[i / COLS];
        }
        return values;
    }

    /** Half a step, as documented, and the rounding of the quotient and the product in FP32. */
    private void requireNear(float[] read, float[] scales) {
        for (int i = 0; i < matrix.length; i++) {
            assertEquals(matrix[i], read[i], scales[i / COLS] / 2 + 2 * Math.ulp(matrix[i]));
        }
    }

    @Test
    void int8CodesAreReadWithTheirScales() throws IOException {
        Map<String, NDArray> arrays = read(exported(ElementType.F32, Optional.of(CodeFormat.INT8)));
        assertEquals(DataType.INT8, arrays.get(MATRIX).getDataType());
        byte[] codes = codes(arrays.get(MATRIX)); // [3, 5]
        int[] numbers = new int[codes.length]; // [3, 5]
        Arrays.setAll(numbers, i -> codes[i]);
        float[] scales = floats(arrays.get(MATRIX + "_scale")); // [3, 1]
        requireNear(scaled(numbers, scales), scales);
        assertArrayEquals(vector, floats(arrays.get(VECTOR)));
    }

    @Test
    void int4CodesAreReadWithTheirScales() throws IOException {
        Map<String, NDArray> arrays = read(exported(ElementType.BF16, Optional.of(CodeFormat.INT4)));
        assertEquals(DataType.UINT8, arrays.get(MATRIX + "_packed").getDataType());
        int stride = (COLS + 1) / 2;
        byte[] packed = codes(arrays.get(MATRIX + "_packed")); // [3, 3]
        int[] numbers = new int[ROWS * COLS]; // [3, 5]
        Arrays.setAll(numbers, i -> {
            int pair = packed[i / COLS * stride + i % COLS / 2];
            return (i % COLS % 2 == 0 ? pair << 28 : pair << 24) >> 28; // with its sign
        });
        float[] scales = floats(arrays.get(MATRIX + "_scale")); // [3, 1]
        requireNear(scaled(numbers, scales), scales);
    }

    /** The library has no FP8, so the header is made to say U8, which are as many bytes. */
    @Test
    void fp8CodesAreReadAsBytes() throws IOException {
        byte[] file = exported(ElementType.F32, Optional.of(CodeFormat.FP8));
        String text = new String(file, StandardCharsets.ISO_8859_1);
        assertTrue(text.contains("\"F8_E4M3\""), "the type that is exported");
        byte[] patched = text.replace("\"F8_E4M3\"", "\"U8\"     ").getBytes(StandardCharsets.ISO_8859_1);
        Map<String, NDArray> arrays = read(patched);
        byte[] codes = codes(arrays.get(MATRIX)); // [3, 5]
        float[] scales = floats(arrays.get(MATRIX + "_scale")); // [3, 1]
        for (int i = 0; i < codes.length; i++) {
            // E4M3: sign, four bits of exponent with bias 7, three of mantissa; below exponent 1 without the leading
            // one
            int exponent = codes[i] >> 3 & 15;
            double size = Math.scalb((codes[i] & 7) / 8.0 + (exponent == 0 ? 0 : 1), Math.max(exponent, 1) - 7);
            double value = (codes[i] < 0 ? -size : size) * scales[i / COLS];
            // half a step of three bits of mantissa, and of the smallest numbers
            double bound = Math.abs(matrix[i]) / 16 * (1 + 1e-6) + Math.scalb(scales[i / COLS], -10);
            assertEquals(matrix[i], value, bound);
        }
    }
}
