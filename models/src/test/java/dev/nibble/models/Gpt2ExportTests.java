package dev.nibble.models;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.models.checkpoint.Checkpoint;
import dev.nibble.models.checkpoint.CheckpointFile;
import dev.nibble.models.checkpoint.CheckpointStore;
import dev.nibble.models.checkpoint.CodeFormat;
import dev.nibble.models.checkpoint.ModelExport;
import dev.nibble.models.files.JsonFields;
import dev.nibble.models.files.JsonTree;
import dev.nibble.models.safetensors.ElementType;
import dev.nibble.models.safetensors.SafetensorsFile;
import dev.nibble.models.text.FileVocabulary;
import dev.nibble.tensor.Shape;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
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
        Map<String, Object> config =
                JsonTree.parseWithoutNulls("config.json", Files.readAllBytes(out.resolve("config.json")), 4);
        assertEquals(List.of("GPT2LMHeadModel"), config.get("architectures"));
        assertEquals("gpt2", config.get("model_type"));
        assertEquals(256L, config.get("vocab_size"));
        assertEquals(16L, config.get("n_positions"));
        assertEquals((long) WIDTH, config.get("n_embd"));
        assertEquals(2L, config.get("n_layer"));
        assertEquals(2L, config.get("n_head"));
        assertEquals((long) HIDDEN, config.get("n_inner"));
        assertEquals("gelu_new", config.get("activation_function"));
        assertEquals(true, config.get("tie_word_embeddings"));
        assertFalse(config.containsKey("eos_token_id"), "null: there is no token that ends a text, and 50256 is none");
        assertTrue(Files.readString(out.resolve("config.json")).contains("\"eos_token_id\" : null"));
        assertEquals("bfloat16", config.get("torch_dtype"));
    }

    @Test
    void bytesAreTokensThere() throws IOException {
        Path out = folder.resolve("hf");
        ModelExport.write(checkpoint, ElementType.F32, Optional.empty(), out);
        try (FileVocabulary vocabulary = FileVocabulary.open(out.resolve("tokenizer.json"))) {
            String text = "Caf\u00e9, \u4f60\n 1\u0000<s>";
            byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
            int[] tokens = vocabulary.encode(text);
            assertEquals(bytes.length, tokens.length);
            for (int i = 0; i < bytes.length; i++) {
                assertEquals(bytes[i] & 0xFF, tokens[i]);
            }
            assertEquals(256, vocabulary.size());
            assertEquals(text, vocabulary.decode(Arrays.stream(tokens).boxed().toList()));
        }
        Map<String, Object> config =
                JsonTree.parse("tokenizer_config.json", Files.readAllBytes(out.resolve("tokenizer_config.json")), 4);
        assertEquals("PreTrainedTokenizerFast", config.get("tokenizer_class"));
        assertEquals(16L, config.get("model_max_length"));
        assertEquals(List.of("input_ids", "attention_mask"), config.get("model_input_names"));
    }

    /** A checkpoint of a version that had one GELU says nothing about it: that was the exact one. */
    @Test
    void aRunThatDoesNotSayWhichGeluHasTheExactOne() {
        ResolvedConfiguration tanh = configuration(Map.of("model.style", "gpt2", "model.gelu", "tanh"));
        ResolvedConfiguration exact = configuration(Map.of("model.style", "gpt2", "model.gelu", "exact"));
        ResolvedConfiguration before = configuration(Map.of("model.style", "gpt2"));
        assertEquals("exact", before.settings().get("model.gelu"));
        assertEquals(List.of(), exact.differences(before));
        assertEquals(exact.hash(), before.hash());
        assertEquals(List.of("model.gelu is tanh here, but (none) there"), tanh.differences(before));
        ResolvedConfiguration llama = configuration(Map.of("model.style", "llama", "model.gelu", "tanh"));
        assertEquals(List.of(), llama.differences(configuration(Map.of("model.style", "llama"))));
    }

    private static ResolvedConfiguration configuration(Map<String, String> settings) {
        Map<String, Object> json = Map.of(
                "preset", "text", "seed", 0L, "steps", 1L, "backend", "cpu", "settings", settings, "layers", Map.of());
        return ResolvedConfiguration.of(new JsonFields("state.json", json));
    }

    @Test
    void configOfAnotherModelIsRefused() throws IOException {
        Path out = folder.resolve("hf");
        ModelExport.write(checkpoint, ElementType.F32, Optional.empty(), out);
        Path config = out.resolve("config.json");
        String text = Files.readString(config);
        RunConfig from = RunFixture.tiny()
                .with("model.style", "gpt2")
                .with("model.hidden", "0")
                .with("model.layers", "2")
                .with("model.weights", out.resolve("model.safetensors").toString())
                .withSteps(1);
        assertEquals("", message(from));
        Files.writeString(config, text.replace("gelu_new", "gelu_pytorch_tanh"));
        assertEquals("", message(from), "the same function");
        assertMessage(
                "config.json: activation_function is 'gelu_pytorch_tanh', but the settings of the model say gelu; change model.gelu",
                from.with("model.gelu", "exact"));
        Files.writeString(config, text.replace("\"n_head\" : 2", "\"n_head\" : 4"));
        assertMessage("config.json: n_head is '4', but the settings of the model say 2; change model.heads", from);
        Files.writeString(config, text.replace("1.0E-5", "1e-6"));
        assertMessage(
                "config.json: layer_norm_epsilon is '1.0E-6', but must be 1.0E-5: another model is not computed here",
                from);
        Files.writeString(config, text.substring(0, text.length() / 2));
        assertMessage("config.json is damaged JSON", from);
    }

    private static void assertMessage(String expected, RunConfig config) {
        String message = message(config);
        assertTrue(message.contains(expected), message);
    }

    private static String message(RunConfig config) {
        return Runs.create().train(config, new RunListener() {}).message();
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
