package dev.nibble.models.checkpoint;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.nibble.error.FormatException;
import dev.nibble.error.NonFiniteException;
import dev.nibble.models.files.AtomicFile;
import dev.nibble.models.files.JsonFields;
import dev.nibble.models.files.JsonTree;
import dev.nibble.models.safetensors.ElementType;
import dev.nibble.models.safetensors.SafetensorsFile;
import dev.nibble.models.safetensors.SafetensorsWriter;
import dev.nibble.models.safetensors.TensorContent;
import dev.nibble.tensor.Bf16;
import dev.nibble.tensor.Shape;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

class ModelExportTests {
    private static final int WIDTH = 4;
    private static final int HIDDEN = 6;

    @TempDir
    Path folder;

    /** Shapes of a decoder with two blocks, by name. */
    private static Map<String, Shape> decoder(boolean tied) {
        Map<String, Shape> shapes = new LinkedHashMap<>();
        shapes.put("embedding.weight", Shape.of(9, WIDTH));
        for (int block = 0; block < 2; block++) {
            String prefix = "blocks." + block + ".";
            shapes.put(prefix + "attn.norm.weight", Shape.of(WIDTH));
            shapes.put(prefix + "attn.qkv.weight", Shape.of(3 * WIDTH, WIDTH));
            shapes.put(prefix + "attn.out.weight", Shape.of(WIDTH, WIDTH));
            shapes.put(prefix + "mlp.norm.weight", Shape.of(WIDTH));
            shapes.put(prefix + "mlp.gateUp.weight", Shape.of(2 * HIDDEN, WIDTH));
            shapes.put(prefix + "mlp.down.weight", Shape.of(WIDTH, HIDDEN));
        }
        shapes.put("norm.weight", Shape.of(WIDTH));
        if (!tied) {
            shapes.put("head.weight", Shape.of(9, WIDTH));
        }
        return shapes;
    }

    private static Map<String, float[]> values(Map<String, Shape> shapes) {
        SplittableRandom random = new SplittableRandom(11);
        Map<String, float[]> values = new LinkedHashMap<>();
        shapes.forEach((name, shape) -> {
            float[] all = new float[(int) shape.elements()];
            for (int i = 0; i < all.length; i++) {
                all[i] = (float) random.nextDouble(-2, 2);
            }
            values.put(name, all);
        });
        return values;
    }

    private Checkpoint checkpoint(Map<String, Shape> shapes, Map<String, float[]> values) {
        List<TensorContent> tensors = new ArrayList<>();
        shapes.forEach((name, shape) ->
                tensors.add(TensorContent.floats(name, ElementType.F32, shape, () -> values.get(name))));
        String state = JsonTree.text(Map.of(
                "step",
                7,
                "configurationHash",
                "abc",
                "configuration",
                Map.of("settings", Map.of("model.heads", "2"))));
        Map<CheckpointFile, AtomicFile.Content> contents = new EnumMap<>(CheckpointFile.class);
        for (CheckpointFile file : CheckpointFile.values()) {
            contents.put(file, stream -> stream.write('x'));
        }
        contents.remove(CheckpointFile.AVERAGES);
        contents.put(CheckpointFile.MODEL, stream -> SafetensorsWriter.write(stream, Map.of(), tensors));
        contents.put(CheckpointFile.STATE, stream -> stream.write(state.getBytes(StandardCharsets.UTF_8)));
        return new CheckpointStore(folder.resolve("checkpoints")).write(7, contents);
    }

    /** {@return one of our matrices from its parts in a file, one below the other} */
    private static float[] joined(SafetensorsFile file, List<String> names) {
        float[] all = new float[0];
        for (String name : names) {
            float[] part = file.floats(name);
            int from = all.length;
            all = Arrays.copyOf(all, from + part.length);
            System.arraycopy(part, 0, all, from, part.length);
        }
        return all;
    }

    private static List<String> partsOf(String name) {
        return switch (name) {
            case "embedding.weight" -> List.of("model.embed_tokens.weight");
            case "norm.weight" -> List.of("model.norm.weight");
            case "head.weight" -> List.of("lm_head.weight");
            default -> {
                String layer = "model.layers." + name.charAt(7) + ".";
                yield switch (name.substring(9)) {
                    case "attn.norm.weight" -> List.of(layer + "input_layernorm.weight");
                    case "attn.qkv.weight" ->
                        List.of(
                                layer + "self_attn.q_proj.weight",
                                layer + "self_attn.k_proj.weight",
                                layer + "self_attn.v_proj.weight");
                    case "attn.out.weight" -> List.of(layer + "self_attn.o_proj.weight");
                    case "mlp.norm.weight" -> List.of(layer + "post_attention_layernorm.weight");
                    case "mlp.gateUp.weight" -> List.of(layer + "mlp.gate_proj.weight", layer + "mlp.up_proj.weight");
                    default -> List.of(layer + "mlp.down_proj.weight");
                };
            }
        };
    }

    @ParameterizedTest
    @CsvSource({"F32,false", "F32,true", "BF16,false"})
    void everyWeightOfADecoderComesBackUnderHuggingFacesNames(ElementType type, boolean tied) {
        Map<String, Shape> shapes = decoder(tied);
        Map<String, float[]> values = values(shapes);
        Path out = folder.resolve("hf.safetensors");
        ModelExport export = ModelExport.write(checkpoint(shapes, values), type, Optional.empty(), out);
        assertEquals(Optional.of("Llama"), export.family());
        Set<String> expected = new TreeSet<>();
        try (SafetensorsFile file = SafetensorsFile.open(out)) {
            values.forEach((name, all) -> {
                float[] rounded = all.clone();
                for (int i = 0; i < rounded.length; i++) {
                    rounded[i] = type == ElementType.BF16 ? Bf16.roundTrip(all[i]) : all[i];
                }
                expected.addAll(partsOf(name));
                assertArrayEquals(rounded, joined(file, partsOf(name)), name);
            });
            assertEquals(expected, new TreeSet<>(file.tensors().keySet()));
            assertEquals(expected.size(), export.tensors());
            assertEquals(
                    Shape.of(WIDTH, WIDTH),
                    file.tensor("model.layers.1.self_attn.k_proj.weight").shape());
            assertEquals(type, file.tensor("model.norm.weight").type());
            assertEquals("pt", file.metadata().get("format"));
            assertEquals("7", file.metadata().get("nibble.step"));
            JsonFields config = new JsonFields(
                    "config",
                    JsonTree.parseWithoutNulls(
                            "config", file.metadata().get("config").getBytes(StandardCharsets.UTF_8), 3));
            assertEquals(9, config.whole("vocab_size", 0, 99));
            assertEquals(WIDTH, config.whole("hidden_size", 0, 99));
            assertEquals(HIDDEN, config.whole("intermediate_size", 0, 99));
            assertEquals(2, config.whole("num_hidden_layers", 0, 99));
            assertEquals(2, config.whole("num_attention_heads", 0, 99));
            assertEquals(tied, config.fields().get("tie_word_embeddings"));
        }
        assertEquals(values.values().stream().mapToLong(all -> all.length).sum(), export.parameters());
    }

    @Test
    void otherModelKeepsItsNames() {
        Map<String, Shape> shapes = new LinkedHashMap<>(decoder(false));
        shapes.put("positions.weight", Shape.of(3, WIDTH));
        Map<String, float[]> values = values(shapes);
        Path out = folder.resolve("own.safetensors");
        ModelExport export = ModelExport.write(checkpoint(shapes, values), ElementType.F32, Optional.empty(), out);
        assertEquals(Optional.empty(), export.family());
        try (SafetensorsFile file = SafetensorsFile.open(out)) {
            assertEquals(
                    new TreeSet<>(shapes.keySet()), new TreeSet<>(file.tensors().keySet()));
            values.forEach((name, all) -> assertArrayEquals(all, file.floats(name), name));
            assertFalse(file.metadata().containsKey("config"));
        }
    }

    @Test
    void matrixThatCannotBeSplitIsRefused() {
        Map<String, Shape> shapes = new LinkedHashMap<>(decoder(false));
        shapes.put("blocks.1.attn.qkv.weight", Shape.of(10, WIDTH));
        Checkpoint checkpoint = checkpoint(shapes, values(shapes));
        Path out = folder.resolve("hf.safetensors");
        FormatException e = assertThrows(
                FormatException.class, () -> ModelExport.write(checkpoint, ElementType.F32, Optional.empty(), out));
        assertEquals(
                checkpoint.file(CheckpointFile.MODEL)
                        + ": tensor 'blocks.1.attn.qkv.weight' of shape [10, 4] is not 3 matrices, one below the other",
                e.getMessage());
    }

    @ParameterizedTest
    @EnumSource
    void codesTimesScaleAreWithinHalfAStep(CodeFormat format) {
        Map<String, Shape> shapes = new LinkedHashMap<>(decoder(false));
        shapes.put("blocks.1.mlp.down.weight", Shape.of(WIDTH, 7)); // an odd row of nibbles
        Map<String, float[]> values = values(shapes);
        Arrays.fill(values.get("blocks.1.mlp.down.weight"), 0, 7, 0f); // a row of zeros
        Path out = folder.resolve("codes.safetensors");
        ModelExport.write(checkpoint(shapes, values), ElementType.BF16, Optional.of(format), out);
        try (SafetensorsFile file = SafetensorsFile.open(out)) {
            assertEquals(ElementType.BF16, file.tensor("lm_head.weight").type());
            assertEquals(
                    ElementType.BF16,
                    file.tensor("model.layers.0.input_layernorm.weight").type());
            values.forEach((name, all) -> {
                if (name.startsWith("blocks.") && shapes.get(name).rank() == 2) {
                    requireClose(
                            file, partsOf(name), all, (int) shapes.get(name).cols(), format);
                }
            });
        }
    }

    private static void requireClose(
            SafetensorsFile file, List<String> parts, float[] all, int cols, CodeFormat format) {
        int at = 0;
        for (String name : parts) {
            float[] scales = file.floats(name + "_scale"); // [rows, 1]
            assertEquals(
                    Shape.of(scales.length, 1), file.tensor(name + "_scale").shape());
            for (int row = 0; row < scales.length; row++) {
                for (int col = 0; col < cols; col++) {
                    double value = scales[row] * code(file, name, format, row, col, cols);
                    // the step of an integer code is one scale; E4M3 has 3 mantissa bits, and below 2^-6 steps of 2^-9
                    double half = format == CodeFormat.FP8
                            ? Math.max(Math.abs(all[at]) / 16, scales[row] * 0x1p-10)
                            : scales[row] / 2;
                    // w / scale is rounded to FP32 before, which can move a tie by an ulp
                    assertEquals(all[at], value, half + Math.ulp(all[at]), name + " " + row + " " + col);
                    at++;
                }
            }
        }
        assertEquals(all.length, at);
    }

    private static double code(SafetensorsFile file, String name, CodeFormat format, int row, int col, int cols) {
        return switch (format) {
            case INT8 -> file.wholes(name)[row * cols + col];
            case FP8 -> file.floats(name)[row * cols + col];
            case INT4 -> {
                long pair = file.wholes(name + "_packed")[row * ((cols + 1) / 2) + col / 2];
                long nibble = col % 2 == 0 ? pair & 15 : pair >> 4;
                yield nibble > 7 ? nibble - 16 : nibble;
            }
        };
    }

    @Test
    void codesOfAWeightThatIsNotFiniteAreRefused() {
        Map<String, Shape> shapes = decoder(false);
        Map<String, float[]> values = values(shapes);
        values.get("blocks.0.attn.out.weight")[5] = Float.NaN;
        Checkpoint checkpoint = checkpoint(shapes, values);
        Path out = folder.resolve("codes.safetensors");
        NonFiniteException e = assertThrows(
                NonFiniteException.class,
                () -> ModelExport.write(checkpoint, ElementType.F32, Optional.of(CodeFormat.INT8), out));
        assertEquals(
                "element 5 of model.layers.0.self_attn.o_proj.weight is NaN, but int8 codes need finite values",
                e.getMessage());
        assertFalse(Files.exists(out));
    }
}
