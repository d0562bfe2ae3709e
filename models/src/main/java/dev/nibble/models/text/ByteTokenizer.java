package dev.nibble.models.text;

import dev.nibble.models.files.JsonTree;
import java.io.ByteArrayOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Each byte of the UTF-8 form of a text is a token: byte b is token b + 3. Token 0 fills, 1 begins a text, 2 ends it. A word that
 * stands alone has a space before it, which is its first token.
 */
public final class ByteTokenizer implements TextTokenizer {
    /** Tokens that there are. */
    public static final int VOCABULARY = 259;

    private static final int BEGIN = 1;

    private static final int END = 2;

    private static final int FIRST_BYTE = 3;

    /** Makes the tokenizer. */
    public ByteTokenizer() {}

    @Override
    public Pieces encode(String text, int most) {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        return pieces(bytes, new int[bytes.length], most);
    }

    @Override
    public Pieces encode(List<String> words, int most) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        List<Integer> owners = new ArrayList<>(); // [bytes]
        for (int word = 0; word < words.size(); word++) {
            String text = words.get(word).startsWith(" ") ? words.get(word) : " " + words.get(word);
            for (byte b : text.getBytes(StandardCharsets.UTF_8)) {
                bytes.write(b);
                owners.add(word);
            }
        }
        return pieces(
                bytes.toByteArray(), owners.stream().mapToInt(Integer::intValue).toArray(), most);
    }

    private static Pieces pieces(byte[] bytes, int[] owners, int most) {
        int kept = Math.min(bytes.length, most - 2);
        int[] tokens = new int[kept + 2]; // [kept bytes and two more]
        int[] words = new int[kept + 2]; // [tokens]
        Arrays.fill(words, -1);
        tokens[0] = BEGIN;
        for (int i = 0; i < kept; i++) {
            tokens[i + 1] = FIRST_BYTE + (bytes[i] & 0xFF);
            words[i + 1] = owners[i];
        }
        tokens[kept + 1] = END;
        return new Pieces(tokens, words, kept < bytes.length);
    }

    @Override
    public void close() {}

    /**
     * {@return a tokenizer.json that makes the same tokens}
     *
     * @param words of words that stand alone; of texts otherwise
     */
    public static String json(boolean words) {
        Map<String, Object> json = json(List.of("[PAD]", "[CLS]", "[SEP]"), words);
        json.put("post_processor", template());
        return JsonTree.text(json);
    }

    /** {@return a tokenizer.json whose tokens are bytes and nothing else: byte b is token b} */
    public static String jsonOfBytes() {
        return JsonTree.text(json(List.of(), false));
    }

    private static Map<String, Object> json(List<String> special, boolean words) {
        Map<String, Object> vocabulary = new LinkedHashMap<>();
        for (String name : special) {
            vocabulary.put(name, (long) vocabulary.size());
        }
        int next = 256; // characters beyond the bytes, for those bytes that do not print
        for (int b = 0; b < 256; b++) {
            vocabulary.put(Character.toString(prints(b) ? b : next++), (long) special.size() + b);
        }
        Map<String, Object> byteLevel = new LinkedHashMap<>();
        byteLevel.put("type", "ByteLevel");
        byteLevel.put("add_prefix_space", words);
        byteLevel.put("trim_offsets", false);
        byteLevel.put("use_regex", false);
        Map<String, Object> model = new LinkedHashMap<>();
        model.put("type", "BPE");
        model.put("vocab", vocabulary);
        model.put("merges", List.of());
        Map<String, Object> json = new LinkedHashMap<>();
        json.put("version", "1.0");
        json.put(
                "added_tokens",
                special.stream().map(name -> added(name, vocabulary.get(name))).toList());
        json.put("pre_tokenizer", byteLevel);
        json.put("decoder", byteLevel);
        json.put("model", model);
        return json;
    }

    /** {@return whether the byte-level vocabularies of GPT-2 and its kin show a byte as the character of its number} */
    private static boolean prints(int b) {
        return (b > 32 && b < 127) || (b > 160 && b != 173);
    }

    private static Map<String, Object> added(String name, Object id) {
        Map<String, Object> token = new LinkedHashMap<>();
        token.put("id", id);
        token.put("content", name);
        for (String flag : List.of("single_word", "lstrip", "rstrip", "normalized")) {
            token.put(flag, false);
        }
        token.put("special", true);
        return token;
    }

    private static Map<String, Object> template() {
        List<Object> single = List.of(
                Map.of("SpecialToken", Map.of("id", "[CLS]", "type_id", 0L)),
                Map.of("Sequence", Map.of("id", "A", "type_id", 0L)),
                Map.of("SpecialToken", Map.of("id", "[SEP]", "type_id", 0L)));
        List<Object> pair = new ArrayList<>(single);
        pair.add(Map.of("Sequence", Map.of("id", "B", "type_id", 1L)));
        pair.add(Map.of("SpecialToken", Map.of("id", "[SEP]", "type_id", 1L)));
        Map<String, Object> tokens = new LinkedHashMap<>();
        tokens.put("[CLS]", Map.of("id", "[CLS]", "ids", List.of((long) BEGIN), "tokens", List.of("[CLS]")));
        tokens.put("[SEP]", Map.of("id", "[SEP]", "ids", List.of((long) END), "tokens", List.of("[SEP]")));
        Map<String, Object> template = new LinkedHashMap<>();
        template.put("type", "TemplateProcessing");
        template.put("single", single);
        template.put("pair", pair);
        template.put("special_tokens", tokens);
        return template;
    }
}
