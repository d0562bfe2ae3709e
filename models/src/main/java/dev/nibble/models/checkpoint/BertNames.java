package dev.nibble.models.checkpoint;

import dev.nibble.models.encoder.EncoderNames;
import dev.nibble.models.encoder.EncoderShape;
import dev.nibble.models.safetensors.SafetensorsFile;
import dev.nibble.models.text.ByteTokenizer;
import dev.nibble.tensor.Shape;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/**
 * An encoder's parameters in {@code BertForTokenClassification}, whose head reads the vectors of the last block as it is here. {@code
 * BertForSequenceClassification} puts a pooler between them: where a whole text is classified, its logits are those of the first token.
 */
final class BertNames implements ModelNames {
    private static final double NORM_EPSILON = 1e-12;

    @Override
    public String family() {
        return "BERT";
    }

    @Override
    public boolean fit(Set<String> names) {
        return names.contains("embedding.norm.bias")
                && names.contains("blocks.0.attn.qkv.bias")
                && names.stream().noneMatch(name -> of(name).isEmpty());
    }

    @Override
    public List<String> of(String name) {
        String head = EncoderShape.HEAD + ".";
        if (name.startsWith(head)) {
            return List.of("classifier." + name.substring(head.length()));
        }
        return EncoderNames.of(name).orElse(List.of()).stream()
                .map(part -> "bert." + part)
                .toList();
    }

    @Override
    public Map<String, Object> config(SafetensorsFile model, Map<String, String> settings, Map<String, Object> facts) {
        Shape words = model.tensor("embedding.weight").shape();
        long layers = model.tensors().keySet().stream()
                .filter(name -> name.endsWith(".mlp.down.weight"))
                .count();
        Map<String, Object> config = new LinkedHashMap<>();
        config.put("architectures", List.of("BertForTokenClassification"));
        config.put("model_type", "bert");
        config.put("vocab_size", words.rows());
        config.put("hidden_size", words.cols());
        config.put("num_hidden_layers", layers);
        config.put("num_attention_heads", heads(facts, Math.toIntExact(words.cols())));
        config.put(
                "intermediate_size",
                model.tensor("blocks.0.mlp.up.weight").shape().rows());
        config.put(
                "max_position_embeddings",
                model.tensor("positions.weight").shape().rows());
        config.put("type_vocab_size", model.tensor("types.weight").shape().rows());
        config.putAll(arithmetic(settings));
        config.put("hidden_dropout_prob", 0.0);
        config.put("attention_probs_dropout_prob", 0.0);
        labels(facts, config);
        return config;
    }

    @Override
    public Map<String, Object> arithmetic(Map<String, String> settings) {
        Map<String, Object> fields = new LinkedHashMap<>();
        fields.put("hidden_act", "gelu");
        fields.put("layer_norm_eps", NORM_EPSILON);
        fields.put("position_embedding_type", "absolute");
        return fields;
    }

    @Override
    public List<String> inputs() {
        return List.of("input_ids", "token_type_ids", "attention_mask");
    }

    private static long heads(Map<String, Object> facts, int width) {
        return facts.get("heads") instanceof Long heads ? heads : EncoderShape.usualHeads(width);
    }

    private static void labels(Map<String, Object> facts, Map<String, Object> config) {
        Map<String, Object> byNumber = new LinkedHashMap<>();
        Map<String, Object> byLabel = new LinkedHashMap<>();
        if (facts.get("labels") instanceof List<?> labels) {
            for (Object label : labels) {
                byLabel.put(String.valueOf(label), (long) byNumber.size());
                byNumber.put(String.valueOf(byNumber.size()), String.valueOf(label));
            }
        }
        config.put("id2label", byNumber);
        config.put("label2id", byLabel);
    }

    @Override
    public Optional<String> byteTokenizer(Map<String, Object> facts) {
        return Optional.of(ByteTokenizer.json(Boolean.TRUE.equals(facts.get("words"))));
    }
}
