package dev.nibble.models.text;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.nibble.error.FormatException;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import org.junit.jupiter.api.Test;

class SpecialTokensTests {
    private static Map<String, SpecialTokens.Token> of(String json) {
        return SpecialTokens.of("tokenizer.json", json.getBytes(StandardCharsets.UTF_8));
    }

    @Test
    void namesTellRoles() {
        assertEquals(
                Map.of(
                        "pad_token", new SpecialTokens.Token("[PAD]", 0),
                        "cls_token", new SpecialTokens.Token("[CLS]", 1),
                        "sep_token", new SpecialTokens.Token("[SEP]", 2)),
                of(ByteTokenizer.json(true)));
        assertEquals(Map.of("eos_token", new SpecialTokens.Token("<|endoftext|>", 7)), of("""
                        {"added_tokens": [{"id": 7, "content": "<|endoftext|>"}, {"id": 8, "content": "other"}]}"""));
    }

    @Test
    void aFileWithoutAddedTokensHasNone() {
        assertEquals(Map.of(), of(ByteTokenizer.jsonOfBytes()));
        assertEquals(Map.of(), of("{}"));
    }

    @Test
    void aDamagedFileIsRefused() {
        assertThrows(FormatException.class, () -> of("{\"added_tokens\": [{\"id\": -1, \"content\": \"<s>\"}]}"));
        assertThrows(FormatException.class, () -> of("{"));
    }
}
