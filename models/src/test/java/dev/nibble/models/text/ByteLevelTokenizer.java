package dev.nibble.models.text;

import dev.nibble.models.files.JsonTree;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Writes a tokenizer.json as GPT-2 has it: bytes as printable characters, byte pairs merged, and an end of text. */
public final class ByteLevelTokenizer {
    /** Merges of {@link #write}: 256 bytes and these are tokens, and one more. */
    public static final List<String> MERGES = List.of("t h", "th e", "Ġ the", "i n", "Ġ a", "Ċ Ċ");

    /** Tokens that there are. */
    public static final int SIZE = 256 + MERGES.size() + 1;

    private ByteLevelTokenizer() {}

    /** {@return a file in a folder} Byte b is token b. */
    public static Path write(Path folder) throws IOException {
        Map<String, Object> vocabulary = new LinkedHashMap<>();
        int moved = 256;
        for (int b = 0; b < 256; b++) {
            boolean printable = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
            vocabulary.put(String.valueOf((char) (printable ? b : moved++)), b);
        }
        for (String merge : MERGES) {
            vocabulary.put(merge.replace(" ", ""), vocabulary.size());
        }
        Map<String, Object> level = new LinkedHashMap<>();
        level.put("type", "ByteLevel");
        level.put("add_prefix_space", false);
        level.put("trim_offsets", true);
        level.put("use_regex", true);
        Map<String, Object> model = new LinkedHashMap<>();
        model.put("type", "BPE");
        model.put("vocab", vocabulary);
        model.put("merges", MERGES);
        Map<String, Object> end = new LinkedHashMap<>();
        end.put("id", SIZE - 1);
        end.put("content", "<|endoftext|>");
        List.of("single_word", "lstrip", "rstrip", "normalized").forEach(name -> end.put(name, false));
        end.put("special", true);
        Map<String, Object> json = new LinkedHashMap<>();
        json.put("version", "1.0");
        json.put("added_tokens", List.of(end));
        json.put("pre_tokenizer", level);
        json.put("decoder", level);
        json.put("model", model);
        return Files.writeString(folder.resolve("tokenizer.json"), JsonTree.text(json));
    }
}
