package dev.nibble.models.checkpoint;

import dev.nibble.models.safetensors.SafetensorsFile;
import dev.nibble.tensor.Shape;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * What a GPT-2-style decoder's parameters are called here and in {@code GPT2LMHeadModel} of Hugging Face's transformers, where the
 * matrices of the blocks are [in, out].
 */
final class Gpt2Names implements ModelNames {
    private static final double NORM_EPSILON = 1e-5;

    private static final Map<String, String> MODEL = Map.of(
            "embedding.weight", "transformer.wte.weight",
            "positions.weight", "transformer.wpe.weight",
            "norm.weight", "transformer.ln_f.weight",
            "norm.bias", "transformer.ln_f.bias");

    private static final Map<String, String> BLOCK = Map.of(
            "attn.norm", "ln_1",
            "attn.qkv", "attn.c_attn",
            "attn.out", "attn.c_proj",
            "mlp.norm", "ln_2",
            "mlp.up", "mlp.c_fc",
            "mlp.down", "mlp.c_proj");

    private static final Pattern IN_BLOCK = Pattern.compile("blocks\\.(\\d+)\\.(.+)\\.(weight|bias)");

    @Override
    public String family() {
        return "GPT-2";
    }

    @Override
    public boolean fit(Set<String> names) {
        return names.containsAll(MODEL.keySet())
                && names.contains("blocks.0.mlp.up.bias")
                && names.stream().noneMatch(name -> of(name).isEmpty());
    }

    @Override
    public List<String> of(String name) {
        if (MODEL.containsKey(name)) {
            return List.of(MODEL.get(name));
        }
        Matcher matcher = IN_BLOCK.matcher(name);
        return matcher.matches() && BLOCK.containsKey(matcher.group(2))
                ? List.of("transformer.h.%s.%s.%s"
                        .formatted(matcher.group(1), BLOCK.get(matcher.group(2)), matcher.group(3)))
                : List.of();
    }

    @Override
    public boolean transposed(String name) {
        Matcher matcher = IN_BLOCK.matcher(name);
        return matcher.matches()
                && matcher.group(3).equals("weight")
                && !matcher.group(2).endsWith(".norm");
    }

    @Override
    public Map<String, Object> config(SafetensorsFile model, Map<String, String> settings, Map<String, Object> facts) {
        Shape embedding = model.tensor("embedding.weight").shape();
        long layers = model.tensors().keySet().stream()
                .filter(name -> name.endsWith(".mlp.down.weight"))
                .count();
        Map<String, Object> config = new LinkedHashMap<>();
        config.put("architectures", List.of("GPT2LMHeadModel"));
        config.put("model_type", "gpt2");
        config.put("vocab_size", embedding.rows());
        config.put("n_positions", model.tensor("positions.weight").shape().rows());
        config.put("n_embd", embedding.cols());
        config.put("n_layer", layers);
        config.put("n_inner", model.tensor("blocks.0.mlp.up.weight").shape().rows());
        config.putAll(arithmetic(settings));
        config.put("resid_pdrop", 0.0);
        config.put("embd_pdrop", 0.0);
        config.put("attn_pdrop", 0.0);
        config.put("tie_word_embeddings", true);
        return config;
    }

    @Override
    public Map<String, Object> arithmetic(Map<String, String> settings) {
        Map<String, Object> fields = new LinkedHashMap<>();
        ModelNames.whole(settings, "model.heads").ifPresent(heads -> fields.put("n_head", heads));
        fields.put("activation_function", activation(settings));
        fields.put("layer_norm_epsilon", NORM_EPSILON);
        fields.put("scale_attn_weights", true);
        fields.put("scale_attn_by_inverse_layer_idx", false);
        return fields;
    }

    /** {@return what transformers call the GELU of a run} One whose settings do not say has the exact one. */
    private static String activation(Map<String, String> settings) {
        return settings.getOrDefault("model.gelu", "exact").equals("tanh") ? "gelu_new" : "gelu";
    }
}
