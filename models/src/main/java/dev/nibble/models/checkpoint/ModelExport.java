package dev.nibble.models.checkpoint;

import dev.nibble.error.FormatException;
import dev.nibble.error.NibbleException;
import dev.nibble.models.files.AtomicFile;
import dev.nibble.models.files.JsonFields;
import dev.nibble.models.files.JsonTree;
import dev.nibble.models.safetensors.ElementType;
import dev.nibble.models.safetensors.SafetensorsFile;
import dev.nibble.models.safetensors.TensorContent;
import dev.nibble.models.safetensors.TensorEntry;
import dev.nibble.models.text.SpecialTokens;
import dev.nibble.tensor.Shape;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Supplier;
import java.util.stream.Stream;

/**
 * The model of a checkpoint as other programs read it: plain weights in one safetensors file, or in a folder with config.json and, if it is
 * known, tokenizer.json. A model of a family that Hugging Face's transformers know gets their names, and q, k, v and gate, up are tensors of
 * their own, as there; a decoder's rotation turns the same pairs of features, so no row changes its place. Other models keep their names. The
 * matrices of the blocks may become codes: see {@link CodeFormat}.
 *
 * @param checkpoint what is exported
 * @param family the family whose names are written, as transformers know it; empty for the names of the checkpoint
 * @param files what was written, the weights first
 * @param tensors how many tensors the file has
 * @param parameters how many numbers
 * @param notices what somebody who uses the files should know
 */
public record ModelExport(
        Checkpoint checkpoint,
        Optional<String> family,
        List<Path> files,
        int tensors,
        long parameters,
        List<String> notices) {
    private static final List<ModelNames> FAMILIES = List.of(new LlamaNames(), new Gpt2Names(), new BertNames());
    private static final String MODEL = "model" + SafetensorsFile.SUFFIX;

    /** Copies the lists. */
    public ModelExport {
        files = List.copyOf(files);
        notices = List.copyOf(notices);
    }

    /**
     * Fails early.
     *
     * @param out as for {@link #write}
     * @throws NibbleException if it could not be written
     */
    public static void requireWritable(Path out) {
        if (isFile(out) || !Files.exists(out)) {
            AtomicFile.requireWritable(out);
        } else {
            AtomicFile.requireWritable(out.resolve(MODEL));
        }
    }

    private static boolean isFile(Path out) {
        return out.toString().endsWith(SafetensorsFile.SUFFIX);
    }

    /**
     * Writes a model.
     *
     * @param checkpoint a whole checkpoint: see {@link Checkpoint#verify}
     * @param type a real type, of all that does not become codes
     * @param codes how the matrices of the blocks become codes, if they do
     * @param out a file whose name ends with .safetensors; else a folder, made if there is none. Each file is replaced in one move
     * @return what was written
     * @throws FormatException if the checkpoint is damaged
     * @throws dev.nibble.error.NonFiniteException if codes are wanted of a weight that is NaN or infinite
     * @throws NibbleException if a file cannot be read or written
     */
    public static ModelExport write(Checkpoint checkpoint, ElementType type, Optional<CodeFormat> codes, Path out) {
        JsonFields state = checkpoint.json(CheckpointFile.STATE);
        try (SafetensorsFile model = SafetensorsFile.open(checkpoint.weights())) {
            Optional<ModelNames> family = family(model.tensors().keySet());
            List<TensorContent> contents = new ArrayList<>();
            long parameters = 0;
            for (TensorEntry entry : model.tensors().values()) {
                List<String> names = family.map(f -> f.of(entry.name())).orElse(List.of(entry.name()));
                boolean transposed =
                        family.filter(f -> f.transposed(entry.name())).isPresent();
                for (Part part :
                        transposed ? List.of(transposed(model, entry, names.getFirst())) : parts(model, entry, names)) {
                    contents.addAll(part.contents(type, codes.filter(_ -> isBlockMatrix(entry))));
                }
                parameters += entry.shape().elements();
            }
            Map<String, Object> facts =
                    state.has("model") ? state.object("model").fields() : Map.of();
            ExportedTokenizer tokenizer = ExportedTokenizer.of(facts, family.flatMap(f -> f.byteTokenizer(facts)));
            Optional<Map<String, Object>> config = family.map(f -> config(f, state, model, facts, type, tokenizer));
            ModelFolder files = new ModelFolder(isFile(out) ? Optional.empty() : Optional.of(out));
            files.weights(isFile(out) ? out : out.resolve(MODEL), metadata(state, codes, config), contents);
            config.ifPresent(files::config);
            files.tokenizer(tokenizer, tokenizerConfig(tokenizer, family, config));
            return new ModelExport(
                    checkpoint,
                    family.map(ModelNames::family),
                    files.written(),
                    contents.size(),
                    parameters,
                    files.notices());
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

    private static Part transposed(SafetensorsFile model, TensorEntry entry, String name) {
        Shape turned = Shape.of(entry.shape().cols(), entry.shape().rows());
        return new Part(name, turned, () -> transposed(model.floats(entry.name()), turned));
    }

    /** {@return a matrix of a shape, whose transpose is given} */
    static float[] transposed(float[] x, Shape shape) {
        int rows = Math.toIntExact(shape.rows());
        int cols = Math.toIntExact(shape.cols());
        float[] y = new float[x.length]; // [rows, cols] of [cols, rows]
        for (int row = 0; row < rows; row++) {
            for (int col = 0; col < cols; col++) {
                y[row * cols + col] = x[col * rows + row];
            }
        }
        return y;
    }

    /** {@return the family that these parameters are of, if it is known} */
    static Optional<ModelNames> family(Set<String> parameters) {
        return FAMILIES.stream().filter(names -> names.fit(parameters)).findFirst();
    }

    private static List<Part> parts(SafetensorsFile model, TensorEntry entry, List<String> names) {
        Shape shape = entry.shape();
        if (names.size() == 1) {
            return List.of(new Part(names.getFirst(), shape, () -> model.floats(entry.name())));
        }
        List<Long> dims = new ArrayList<>(shape.dims());
        if (dims.getFirst() % names.size() != 0) {
            throw new FormatException("%s: tensor %s of shape %s is not %d matrices, one below the other"
                    .formatted(model.path(), JsonTree.quoted(entry.name()), shape, names.size()));
        }
        dims.set(0, dims.getFirst() / names.size());
        Shape partShape = new Shape(dims);
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
            JsonFields state, Optional<CodeFormat> codes, Optional<Map<String, Object>> config) {
        Map<String, String> metadata = new TreeMap<>();
        codes.ifPresent(format -> metadata.put("nibble.codes", format.label() + ", value = code * scale of the row"));
        metadata.put("format", "pt");
        metadata.put("nibble.step", String.valueOf(state.whole("step", 0, Integer.MAX_VALUE)));
        metadata.put("nibble.configurationHash", state.text("configurationHash"));
        config.ifPresent(fields -> metadata.put("config", JsonTree.compact(fields)));
        return metadata;
    }

    private static Map<String, Object> config(
            ModelNames family,
            JsonFields state,
            SafetensorsFile model,
            Map<String, Object> facts,
            ElementType type,
            ExportedTokenizer tokenizer) {
        Map<String, String> settings = state.object("configuration").texts("settings");
        Map<String, Object> config = family.config(model, settings, facts);
        // what is not said has a number of its own there, of a token that is another one here, or none
        for (String role : List.of("bos_token", SpecialTokens.END, "pad_token")) {
            config.put(role + "_id", tokenizer.id(role));
        }
        config.put("torch_dtype", type == ElementType.BF16 ? "bfloat16" : "float32");
        return config;
    }

    private static Map<String, Object> tokenizerConfig(
            ExportedTokenizer tokenizer, Optional<ModelNames> family, Optional<Map<String, Object>> config) {
        Optional<Long> longest = config.flatMap(fields -> Stream.of("max_position_embeddings", "n_positions")
                .map(fields::get)
                .filter(Long.class::isInstance)
                .map(Long.class::cast)
                .findFirst());
        return tokenizer.config(family.map(ModelNames::inputs).orElse(List.of("input_ids")), longest);
    }
}
