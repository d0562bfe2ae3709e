package dev.nibble.models.encoder;

import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** What Hugging Face's transformers call the parameters of an {@link Encoder}. */
public final class EncoderNames {
    private static final Pattern BLOCK = Pattern.compile("blocks\\.(\\d+)\\.(.+)\\.(weight|bias)");
    private static final Map<String, String> TABLES = Map.of(
            "embedding.weight", "embeddings.word_embeddings.weight",
            "positions.weight", "embeddings.position_embeddings.weight",
            "types.weight", "embeddings.token_type_embeddings.weight",
            "embedding.norm.weight", "embeddings.LayerNorm.weight",
            "embedding.norm.bias", "embeddings.LayerNorm.bias");
    private static final Map<String, List<String>> LAYERS = Map.of(
            "attn.qkv", List.of("attention.self.query", "attention.self.key", "attention.self.value"),
            "attn.out", List.of("attention.output.dense"),
            "attn.norm", List.of("attention.output.LayerNorm"),
            "mlp.up", List.of("intermediate.dense"),
            "mlp.down", List.of("output.dense"),
            "mlp.norm", List.of("output.LayerNorm"));

    private EncoderNames() {}

    /**
     * {@return the tensors that a parameter is, one below the other; empty for those of the head, which belong to a task}
     *
     * @param parameter as in {@link Encoder#parameters()}
     */
    public static Optional<List<String>> of(String parameter) {
        if (TABLES.containsKey(parameter)) {
            return Optional.of(List.of(TABLES.get(parameter)));
        }
        Matcher block = BLOCK.matcher(parameter);
        if (!block.matches() || !LAYERS.containsKey(block.group(2))) {
            return Optional.empty();
        }
        return Optional.of(LAYERS.get(block.group(2)).stream()
                .map(layer -> "encoder.layer." + block.group(1) + "." + layer + "." + block.group(3))
                .toList());
    }
}
