package dev.nibble.models;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.models.checkpoint.Checkpoint;
import dev.nibble.models.checkpoint.CheckpointFile;
import dev.nibble.models.checkpoint.CheckpointStore;
import dev.nibble.models.checkpoint.CodeFormat;
import dev.nibble.models.checkpoint.ModelExport;
import dev.nibble.models.files.JsonTree;
import dev.nibble.models.safetensors.ElementType;
import dev.nibble.models.safetensors.SafetensorsFile;
import dev.nibble.tensor.Shape;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeSet;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class Gpt2ExportTests {
    private static final int WIDTH = 32;
    private static final int HIDDEN = 4 * WIDTH;

    @TempDir
    Path folder;

    private Checkpoint checkpoint;

    /** The names and shapes that transformers 4 gives GPT2LMHeadModel, by ours. */
    private static Map<String, Map.Entry<String, Shape>> expected() {
        Map<String, Map.Entry<String, Shape>> names = new LinkedHashMap<>();
        names.put("embedding.weight", Map.entry("transformer.wte.weight", Shape.of(256, WIDTH)));
        names.put("positions.weight", Map.entry("transformer.wpe.weight", Shape.of(16, WIDTH)));
        for (int block = 0; block < 2; block++) {
            String here = "blocks." + block + ".";
            String there = "transformer.h." + block + ".";
            names.put(here + "attn.norm.weight", Map.entry(there + "ln_1.weight", Shape.of(WIDTH)));
            names.put(here + "attn.norm.bias", Map.entry(there + "ln_1.bias", Shape.of(WIDTH)));
            names.put(here + "attn.qkv.weight", Map.entry(there + "attn.c_attn.weight", Shape.of(WIDTH, 3 * WIDTH)));
            names.put(here + "attn.qkv.bias", Map.entry(there + "attn.c_attn.bias", Shape.of(3 * WIDTH)));
            names.put(here + "attn.out.weight", Map.entry(there + "attn.c_proj.weight", Shape.of(WIDTH, WIDTH)));
            names.put(here + "attn.out.bias", Map.entry(there + "attn.c_proj.bias", Shape.of(WIDTH)));
            names.put(here + "mlp.norm.weight", Map.entry(there + "ln_2.weight", Shape.of(WIDTH)));
            names.put(here + "mlp.norm.bias", Map.entry(there + "ln_2.bias", Shape.of(WIDTH)));
            names.put(here + "mlp.up.weight", Map.entry(there + "mlp.c_fc.weight", Shape.of(WIDTH, HIDDEN)));
            names.put(here + "mlp.up.bias", Map.entry(there + "mlp.c_fc.bias", Shape.of(HIDDEN)));
            names.put(here + "mlp.down.weight", Map.entry(there + "mlp.c_proj.weight", Shape.of(HIDDEN, WIDTH)));
            names.put(here + "mlp.down.bias", Map.entry(there + "mlp.c_proj.bias", Shape.of(WIDTH)));
        }
        names.put("norm.weight", Map.entry("transformer.ln_f.weight", Shape.of(WIDTH)));
        names.put("norm.bias", Map.entry("transformer.ln_f.bias", Shape.of(WIDTH)));
        return names;
    }

    @BeforeEach
    void train() {
        RunConfig config = RunFixture.tiny()
                .with("model.style", "gpt2")
                .with("model.hidden", "0")
                .with("model.layers", "2");
        RunResult result = new RunFolder(folder.resolve("run"), new RunOrigin("test", "1", List.of(), Map.of()))
                .train(Runs.create(), config, new RunListener() {}, Start.NEW);
        assertEquals(RunResult.Status.COMPLETED, result.status(), result.message());
        checkpoint = new CheckpointStore(folder.resolve("run").resolve(CheckpointStore.FOLDER))
                .newest(new ArrayList<>())
                .orElseThrow();
    }

    @Test
    void everyWeightComesBackUnderHuggingFacesNames() {
        Path out = folder.resolve("hf.safetensors");
        ModelExport export = ModelExport.write(checkpoint, ElementType.F32, Optional.empty(), out);
        assertEquals(Optional.of("GPT-2"), export.family());
        try (SafetensorsFile ours = SafetensorsFile.open(checkpoint.file(CheckpointFile.MODEL));
                SafetensorsFile theirs = SafetensorsFile.open(out)) {
            assertEquals(expected().keySet(), ours.tensors().keySet());
            assertEquals(
                    new TreeSet<>(
                            expected().values().stream().map(Map.Entry::getKey).toList()),
                    new TreeSet<>(theirs.tensors().keySet()));
            expected().forEach((name, there) -> {
                Shape shape = theirs.tensor(there.getKey()).shape();
                assertEquals(there.getValue(), shape, name);
                float[] x = ours.floats(name);
                float[] y = theirs.floats(there.getKey());
                boolean turned = name.startsWith("blocks.") && shape.rank() == 2;
                float[] back = new float[x.length];
                for (int i = 0; i < x.length; i++) {
                    int row = i / (int) shape.cols();
                    int col = i % (int) shape.cols();
                    back[turned ? col * (int) shape.rows() + row : i] = y[i];
                }
                assertArrayEquals(x, back, name);
            });
        }
    }

    @Test
    void exportedWeightsAreReadBackAndAMisfitIsNamed() {
        Path out = folder.resolve("hf.safetensors");
        ModelExport.write(checkpoint, ElementType.F32, Optional.empty(), out);
        RunConfig same = RunFixture.tiny()
                .with("model.style", "gpt2")
                .with("model.hidden", "0")
                .with("model.layers", "2")
                .with("model.weights", out.toString())
                .with("data.sequence", "8") // of 16 positions
                .with("train.learningRate", "1e-30")
                .withSteps(1);
        RunOrigin origin = new RunOrigin("test", "1", List.of(), Map.of());
        Path again = folder.resolve("again");
        RunResult result = new RunFolder(again, origin).train(Runs.create(), same, new RunListener() {}, Start.NEW);
        assertEquals(RunResult.Status.COMPLETED, result.status(), result.message());
        try (SafetensorsFile ours = SafetensorsFile.open(checkpoint.file(CheckpointFile.MODEL));
                SafetensorsFile back =
                        SafetensorsFile.open(again.resolve("checkpoints/step-000000/model.safetensors"))) {
            for (String name : ours.tensors().keySet()) {
                float[] expected = ours.floats(name);
                float[] actual = back.floats(name);
                assertArrayEquals(
                        name.equals("positions.weight") ? Arrays.copyOf(expected, 8 * WIDTH) : expected, actual, name);
            }
        }
        RunResult other = Runs.create().train(same.with("model.width", "16"), new RunListener() {});
        assertTrue(
                other.message()
                        .contains(
                                "tensor 'transformer.wte.weight' is [256, 32], but the settings of the model say [256, 16]"),
                other.message());
    }

    @Test
    void configurationIsThatOfTheModel() throws IOException {
        Path out = folder.resolve("hf");
        ModelExport.write(checkpoint, ElementType.BF16, Optional.empty(), out);
        Map<String, Object> config = JsonTree.parse("config.json", Files.readAllBytes(out.resolve("config.json")), 4);
        assertEquals(List.of("GPT2LMHeadModel"), config.get("architectures"));
        assertEquals("gpt2", config.get("model_type"));
        assertEquals(256L, config.get("vocab_size"));
        assertEquals(16L, config.get("n_positions"));
        assertEquals((long) WIDTH, config.get("n_embd"));
        assertEquals(2L, config.get("n_layer"));
        assertEquals(2L, config.get("n_head"));
        assertEquals((long) HIDDEN, config.get("n_inner"));
        assertEquals("gelu", config.get("activation_function"));
        assertEquals(true, config.get("tie_word_embeddings"));
        assertEquals("bfloat16", config.get("torch_dtype"));
    }

    @Test
    void codesHaveOneScaleForEachRowThatIsWritten() {
        Path out = folder.resolve("codes.safetensors");
        ModelExport.write(checkpoint, ElementType.F32, Optional.of(CodeFormat.values()[0]), out);
        try (SafetensorsFile theirs = SafetensorsFile.open(out)) {
            String name = "transformer.h.0.mlp.c_fc.weight_scale";
            assertTrue(
                    theirs.tensors().containsKey(name),
                    theirs.tensors().keySet().toString());
            assertEquals(Shape.of(WIDTH, 1), theirs.tensor(name).shape());
        }
    }
}
