package dev.nibble.models.checkpoint;

import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** What a Llama-style decoder's parameters are called here and in {@code LlamaForCausalLM} of Hugging Face's transformers. */
final class LlamaNames {
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

    private LlamaNames() {}

    /** {@return whether these are the parameters of such a decoder} */
    static boolean fit(Set<String> names) {
        return names.contains("embedding.weight")
                && names.contains("blocks.0.mlp.gateUp.weight")
                && names.stream().noneMatch(name -> of(name).isEmpty());
    }

    /**
     * {@return the names of the equal parts of a parameter's rows, in their order; none if it is no parameter of such a
     * decoder}
     */
    static List<String> of(String name) {
        Matcher matcher = IN_BLOCK.matcher(name);
        if (matcher.matches()) {
            String prefix = "model.layers." + matcher.group(1) + ".";
            return BLOCK.getOrDefault(matcher.group(2), List.of()).stream()
                    .map(part -> prefix + part)
                    .toList();
        }
        return MODEL.containsKey(name) ? List.of(MODEL.get(name)) : List.of();
    }
}
