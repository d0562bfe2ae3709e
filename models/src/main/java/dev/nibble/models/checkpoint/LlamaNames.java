package dev.nibble.models.checkpoint;

import dev.nibble.models.safetensors.SafetensorsFile;
import dev.nibble.tensor.Shape;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** What a Llama-style decoder's parameters are called here and in {@code LlamaForCausalLM} of Hugging Face's transformers. */
final class LlamaNames implements ModelNames {
    private static final double NORM_EPSILON = 1e-5;
    private static final double ROTARY_BASE = 10000;

    private static final Map<String, String> MODEL = Map.of(
            "embedding.weight", "model.embed_tokens.weight",
            "norm.weight", "model.norm.weight",
            "head.weight", "lm_head.weight");

    private static final Map<String, List<String>> BLOCK = Map.of(
            "attn.norm.weight", List.of("input_layernorm.weight"),
            "attn.qkv.weight", List.of("self_attn.q_proj.weight", "self_attn.k_proj.weight", "self_attn.v_proj.weight"),
            "attn.out.weight", List.of("self_attn.o_proj.weight"),
            "mlp.norm.weight", List.of("post_attention_layernorm.weight"),
            "mlp.gateUp.weight", List.of("mlp.gate_proj.weight", "mlp.up_proj.weight"),
            "mlp.down.weight", List.of("mlp.down_proj.weight"));

    private static final Pattern IN_BLOCK = Pattern.compile("blocks\\.(\\d+)\\.(.+)");

    @Override
    public String family() {
        return "Llama";
    }

    @Override
    public boolean fit(Set<String> names) {
        return names.contains("embedding.weight")
                && names.contains("blocks.0.mlp.gateUp.weight")
                && names.stream().noneMatch(name -> of(name).isEmpty());
    }

    @Override
    public List<String> of(String name) {
        Matcher matcher = IN_BLOCK.matcher(name);
        if (matcher.matches()) {
            String prefix = "model.layers." + matcher.group(1) + ".";
            return BLOCK.getOrDefault(matcher.group(2), List.of()).stream()
                    .map(part -> prefix + part)
                    .toList();
        }
        return MODEL.containsKey(name) ? List.of(MODEL.get(name)) : List.of();
    }

    @Override
    public Map<String, Object> config(SafetensorsFile model, Map<String, String> settings, Map<String, Object> facts) {
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
        ModelNames.whole(settings, "data.sequence").ifPresent(tokens -> config.put("max_position_embeddings", tokens));
        config.putAll(arithmetic(settings));
        config.put("tie_word_embeddings", !model.tensors().containsKey("head.weight"));
        return config;
    }

    @Override
    public Map<String, Object> arithmetic(Map<String, String> settings) {
        Map<String, Object> fields = new LinkedHashMap<>();
        ModelNames.whole(settings, "model.heads").ifPresent(heads -> {
            fields.put("num_attention_heads", heads);
            fields.put("num_key_value_heads", heads);
        });
        fields.put("hidden_act", "silu");
        fields.put("rms_norm_eps", NORM_EPSILON);
        fields.put("rope_theta", ROTARY_BASE);
        fields.put("attention_bias", false);
        fields.put("mlp_bias", false);
        return fields;
    }
}
