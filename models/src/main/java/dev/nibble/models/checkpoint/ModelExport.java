package dev.nibble.models.checkpoint;

import dev.nibble.error.FormatException;
import dev.nibble.models.files.JsonFields;
import dev.nibble.models.files.JsonTree;
import dev.nibble.models.safetensors.ElementType;
import dev.nibble.models.safetensors.SafetensorsFile;
import dev.nibble.models.safetensors.SafetensorsWriter;
import dev.nibble.models.safetensors.TensorContent;
import dev.nibble.models.safetensors.TensorEntry;
import dev.nibble.tensor.Shape;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.function.Supplier;

/**
 * The model of a checkpoint as other programs read it: plain weights in one safetensors file. A Llama-style decoder gets the
 * names of Hugging Face's transformers, and q, k, v and gate, up are tensors of their own, as there; its rotation turns the
 * same pairs of features, so no row changes its place. Other models keep their names. The matrices of the blocks may become
 * codes: see {@link CodeFormat}.
 *
 * @param checkpoint what is exported
 * @param huggingFace whether the names are those of Hugging Face
 * @param tensors how many tensors the file has
 * @param parameters how many numbers
 */
public record ModelExport(Checkpoint checkpoint, boolean huggingFace, int tensors, long parameters) {
    private static final double NORM_EPSILON = 1e-5;
    private static final double ROTARY_BASE = 10000;

    /**
     * Writes a model.
     *
     * @param checkpoint a whole checkpoint: see {@link Checkpoint#verify}
     * @param type a real type, of all that does not become codes
     * @param codes how the matrices of the blocks become codes, if they do
     * @param out the file, replaced in one move
     * @return what was written
     * @throws FormatException if the checkpoint is damaged
     * @throws dev.nibble.error.NonFiniteException if codes are wanted of a weight that is NaN or infinite
     * @throws dev.nibble.error.NibbleException if a file cannot be read or written
     */
    public static ModelExport write(Checkpoint checkpoint, ElementType type, Optional<CodeFormat> codes, Path out) {
        JsonFields state = checkpoint.json(CheckpointFile.STATE);
        try (SafetensorsFile model = SafetensorsFile.open(checkpoint.file(CheckpointFile.MODEL))) {
            boolean llama = LlamaNames.fit(model.tensors().keySet());
            List<TensorContent> contents = new ArrayList<>();
            long parameters = 0;
            for (TensorEntry entry : model.tensors().values()) {
                List<String> names = llama ? LlamaNames.of(entry.name()) : List.of(entry.name());
                for (Part part : parts(model, entry, names)) {
                    contents.addAll(part.contents(type, codes.filter(_ -> isBlockMatrix(entry))));
                }
                parameters += entry.shape().elements();
            }
            SafetensorsWriter.write(out, metadata(state, model, type, codes, llama), contents);
            return new ModelExport(checkpoint, llama, contents.size(), parameters);
        }
    }

    /** A tensor of the file that is written. */
    private record Part(String name, Shape shape, Supplier<float[]> values) {
        List<TensorContent> contents(ElementType type, Optional<CodeFormat> codes) {
            return codes.map(format -> format.contents(name, shape, values))
                    .orElseGet(() -> List.of(TensorContent.floats(name, type, shape, values)));
        }
    }

    /** What is trained in FP32 stays a number: embedding, positions, norms, head. */
    private static boolean isBlockMatrix(TensorEntry entry) {
        return entry.name().startsWith("blocks.") && entry.shape().rank() == 2;
    }

    private static List<Part> parts(SafetensorsFile model, TensorEntry entry, List<String> names) {
        Shape shape = entry.shape();
        if (names.size() == 1) {
            return List.of(new Part(names.getFirst(), shape, () -> model.floats(entry.name())));
        }
        if (shape.rank() != 2 || shape.rows() % names.size() != 0) {
            throw new FormatException("%s: tensor %s of shape %s is not %d matrices, one below the other"
                    .formatted(model.path(), JsonTree.quoted(entry.name()), shape, names.size()));
        }
        Shape partShape = Shape.of(shape.rows() / names.size(), shape.cols());
        List<Part> parts = new ArrayList<>();
        for (int i = 0; i < names.size(); i++) {
            int part = i;
            parts.add(new Part(names.get(i), partShape, () -> {
                float[] all = model.floats(entry.name()); // [rows of all parts, cols]
                int length = all.length / names.size();
                return Arrays.copyOfRange(all, part * length, (part + 1) * length);
            }));
        }
        return parts;
    }

    /** {@code format} is what transformers looks for; {@code config} is the text for its config.json. */
    private static Map<String, String> metadata(
            JsonFields state, SafetensorsFile model, ElementType type, Optional<CodeFormat> codes, boolean llama) {
        Map<String, String> metadata = new TreeMap<>();
        codes.ifPresent(format -> metadata.put("nibble.codes", format.label() + ", value = code * scale of the row"));
        metadata.put("format", "pt");
        metadata.put("nibble.step", String.valueOf(state.whole("step", 0, Integer.MAX_VALUE)));
        metadata.put("nibble.configurationHash", state.text("configurationHash"));
        if (llama) {
            metadata.put("config", JsonTree.compact(config(state, model, type)));
        }
        return metadata;
    }

    private static Map<String, Object> config(JsonFields state, SafetensorsFile model, ElementType type) {
        Shape embedding = model.tensor("embedding.weight").shape();
        Shape gateUp = model.tensor("blocks.0.mlp.gateUp.weight").shape();
        long layers = model.tensors().keySet().stream()
                .filter(name -> name.endsWith(".mlp.down.weight"))
                .count();
        Map<String, Object> config = new LinkedHashMap<>();
        config.put("architectures", List.of("LlamaForCausalLM"));
        config.put("model_type", "llama");
        config.put("vocab_size", embedding.rows());
        config.put("hidden_size", embedding.cols());
        config.put("intermediate_size", gateUp.rows() / 2);
        config.put("num_hidden_layers", layers);
        Map<String, String> settings = state.object("configuration").texts("settings");
        if (settings.getOrDefault("model.heads", "").matches("\\d{1,9}")) {
            config.put("num_attention_heads", Long.parseLong(settings.get("model.heads")));
        }
        config.put("hidden_act", "silu");
        config.put("rms_norm_eps", NORM_EPSILON);
        config.put("rope_theta", ROTARY_BASE);
        config.put("attention_bias", false);
        config.put("mlp_bias", false);
        config.put("tie_word_embeddings", !model.tensors().containsKey("head.weight"));
        config.put("torch_dtype", type == ElementType.BF16 ? "bfloat16" : "float32");
        return config;
    }
}
