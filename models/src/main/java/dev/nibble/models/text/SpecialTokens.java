package dev.nibble.models.text;

import dev.nibble.error.FormatException;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SequencedMap;

/** Those added tokens of a tokenizer.json that have a role in Hugging Face's transformers. The file does not tell roles: names do. */
public final class SpecialTokens {
    /** The role of the token that ends a text. */
    public static final String END = "eos_token";

    private static final List<Map.Entry<String, List<String>>> ROLES = List.of(
            Map.entry("bos_token", List.of("<|begin_of_text|>", "<|startoftext|>", "<s>", "<bos>")),
            Map.entry(END, TokenizerJson.ENDS_OF_TEXT),
            Map.entry("unk_token", List.of("[UNK]", "<unk>")),
            Map.entry("sep_token", List.of("[SEP]")),
            Map.entry("pad_token", List.of("[PAD]", "<pad>", "<|pad|>")),
            Map.entry("cls_token", List.of("[CLS]")),
            Map.entry("mask_token", List.of("[MASK]", "<mask>")));

    private SpecialTokens() {}

    /**
     * A token.
     *
     * @param content its name
     * @param id its number
     */
    public record Token(String content, int id) {}

    /**
     * {@return the tokens by role}
     *
     * @param what where the file is from, for messages
     * @param utf8 a tokenizer.json
     * @throws FormatException if it is damaged
     */
    public static SequencedMap<String, Token> of(String what, byte[] utf8) {
        Map<String, Integer> added = TokenizerJson.added(TokenizerJson.parse(what, utf8));
        SequencedMap<String, Token> tokens = new LinkedHashMap<>();
        for (Map.Entry<String, List<String>> role : ROLES) {
            role.getValue().stream()
                    .filter(added::containsKey)
                    .findFirst()
                    .ifPresent(name -> tokens.put(role.getKey(), new Token(name, added.get(name))));
        }
        return tokens;
    }
}
