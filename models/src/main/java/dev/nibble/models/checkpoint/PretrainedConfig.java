package dev.nibble.models.checkpoint;

import dev.nibble.error.FormatException;
import dev.nibble.error.NibbleException;
import dev.nibble.models.files.IoReason;
import dev.nibble.models.files.JsonTree;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** The config.json of a decoder's weights: what it says about the computation must be what is computed here. */
final class PretrainedConfig {
    private static final String NAME = "config.json";
    private static final long LARGEST = 1 << 20; // bytes
    private static final int DEPTH = 16;

    /** Names that transformers have for the same function. */
    private static final Map<String, String> SAME = Map.of("gelu_pytorch_tanh", "gelu_new", "swish", "silu");

    /** The setting that a field is about. */
    private static final Map<String, String> SETTINGS =
            Map.of("n_head", "model.heads", "num_attention_heads", "model.heads", "activation_function", "model.gelu");

    private final String what;
    private final Map<String, Object> fields;

    private PretrainedConfig(String what, Map<String, Object> fields) {
        this.what = what;
        this.fields = fields;
    }

    /**
     * {@return the config.json beside a file, else the one in its metadata, if there is one}
     *
     * @param metadata of the file
     */
    static Optional<PretrainedConfig> of(Path file, Map<String, String> metadata) {
        Path beside = file.resolveSibling(NAME);
        if (!Files.isRegularFile(beside)) {
            return Optional.ofNullable(metadata.get("config"))
                    .map(text -> parse(file + ": metadata 'config'", text.getBytes(StandardCharsets.UTF_8)));
        }
        try {
            if (Files.size(beside) > LARGEST) {
                throw new FormatException(
                        "%s has %d bytes, but at most %d are read".formatted(beside, Files.size(beside), LARGEST));
            }
            return Optional.of(parse(beside.toString(), Files.readAllBytes(beside)));
        } catch (IOException e) {
            throw new NibbleException("%s cannot be read: %s".formatted(beside, IoReason.of(e)), e);
        }
    }

    private static PretrainedConfig parse(String what, byte[] utf8) {
        return new PretrainedConfig(what, JsonTree.parseWithoutNulls(what, utf8, DEPTH));
    }

    /**
     * Compares.
     *
     * @param arithmetic what it should say: see {@link ModelNames#arithmetic}
     * @throws FormatException naming a field that says something else
     */
    void require(Map<String, Object> arithmetic) {
        requireSame(fields, arithmetic);
        for (String name : List.of("rope_parameters", "rope_scaling")) { // how the newer and the older write it
            if (fields.get(name) instanceof Map<?, ?> rope) {
                requireSame(rope, arithmetic);
                requireSame(rope, Map.of("rope_type", "default", "type", "default"));
            }
        }
    }

    private void requireSame(Map<?, ?> there, Map<String, Object> needed) {
        needed.forEach((name, value) -> {
            Object found = there.get(name);
            if (found != null && !same(found, value)) {
                throw new FormatException("%s: %s is %s, but %s"
                        .formatted(
                                what,
                                name,
                                JsonTree.quoted(String.valueOf(found)),
                                Optional.ofNullable(SETTINGS.get(name))
                                        .map(setting ->
                                                "the settings of the model say %s; change %s".formatted(value, setting))
                                        .orElse("must be %s: another model is not computed here".formatted(value))));
            }
        });
    }

    private static boolean same(Object found, Object needed) {
        if (found instanceof Number number && needed instanceof Number wanted) {
            return Double.compare(number.doubleValue(), wanted.doubleValue()) == 0;
        }
        return found instanceof String name ? SAME.getOrDefault(name, name).equals(needed) : found.equals(needed);
    }
}
