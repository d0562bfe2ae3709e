package dev.nibble.models.checkpoint;

import dev.nibble.error.NibbleException;
import dev.nibble.models.files.IoReason;
import dev.nibble.models.text.SpecialTokens;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** The tokenizer of a model that is exported: the file that the run had, or one that makes tokens of bytes. */
final class ExportedTokenizer {
    private final Optional<byte[]> json;
    private final Optional<Path> missing;
    private final Map<String, SpecialTokens.Token> special;

    private ExportedTokenizer(Optional<byte[]> json, Optional<Path> missing, Map<String, SpecialTokens.Token> special) {
        this.json = json;
        this.missing = missing;
        this.special = special;
    }

    /**
     * {@return the tokenizer of a run}
     *
     * @param facts what the run knows of the model
     * @param bytes one that makes tokens of bytes, if the model's family has one
     * @throws dev.nibble.error.FormatException if the file is no tokenizer.json any more
     */
    static ExportedTokenizer of(Map<String, Object> facts, Optional<String> bytes) {
        if (!(facts.get("tokenizer") instanceof String name)) {
            Optional<byte[]> json = bytes.map(text -> text.getBytes(StandardCharsets.UTF_8));
            return new ExportedTokenizer(
                    json,
                    Optional.empty(),
                    json.<Map<String, SpecialTokens.Token>>map(utf8 -> SpecialTokens.of("tokenizer.json", utf8))
                            .orElse(Map.of()));
        }
        Path source = Path.of(name);
        if (!Files.isRegularFile(source)) {
            return new ExportedTokenizer(Optional.empty(), Optional.of(source), Map.of());
        }
        try {
            byte[] content = Files.readAllBytes(source);
            return new ExportedTokenizer(
                    Optional.of(content), Optional.empty(), SpecialTokens.of(source.toString(), content));
        } catch (IOException e) {
            throw new NibbleException("%s cannot be read: %s".formatted(source, IoReason.of(e)), e);
        }
    }

    /** {@return the text of tokenizer.json, if there is one; not modified} */
    Optional<byte[]> json() {
        return json;
    }

    /** {@return the file of the run, if it does not exist any more} */
    Optional<Path> missing() {
        return missing;
    }

    /** {@return the number of the token with a role, such as eos_token} */
    Optional<Long> id(String role) {
        return Optional.ofNullable(special.get(role)).map(token -> (long) token.id());
    }

    /**
     * {@return what tokenizer_config.json says} The class is the one that runs tokenizer.json as it is: a family's own class may read the
     * vocabulary and make other tokens of it.
     *
     * @param inputs what the model reads, as transformers call it
     * @param longest tokens of the longest sequence, if it is known
     */
    Map<String, Object> config(List<String> inputs, Optional<Long> longest) {
        Map<String, Object> config = new LinkedHashMap<>();
        config.put("tokenizer_class", "PreTrainedTokenizerFast");
        config.put("model_input_names", inputs);
        longest.ifPresent(tokens -> config.put("model_max_length", tokens));
        config.put("clean_up_tokenization_spaces", false);
        special.forEach((role, token) -> config.put(role, token.content()));
        return config;
    }
}
