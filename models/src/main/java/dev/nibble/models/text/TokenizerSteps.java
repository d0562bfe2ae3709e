package dev.nibble.models.text;

import dev.nibble.error.FormatException;
import dev.nibble.models.files.JsonFields;
import java.util.ArrayList;
import java.util.List;

/** The steps of a tokenizer.json before and behind its model, each of which may be a sequence of others. */
final class TokenizerSteps {
    private TokenizerSteps() {}

    /**
     * Refuses steps that end the process when the library runs them.
     *
     * @param json the tokenizer
     * @throws FormatException naming the step
     */
    static void check(JsonFields json) {
        List<JsonFields> normalizers = of(json, "normalizer", "normalizers");
        normalizers.forEach(TokenizerSteps::checkNormalizer);
        of(json, "pre_tokenizer", "pretokenizers").forEach(TokenizerSteps::checkSplit);
        of(json, "decoder", "decoders").forEach(TokenizerSteps::checkDecoder);
        if (json.has("added_tokens")) {
            AddedTokens.check(json, normalizers);
        }
    }

    /**
     * {@return what does the work of a part: itself, or what it is a sequence of} The library knows some by their fields alone, so
     * types are not looked at.
     */
    private static List<JsonFields> of(JsonFields json, String part, String sequence) {
        List<JsonFields> steps = new ArrayList<>();
        if (json.has(part)) {
            addSteps(json.object(part), sequence, steps);
        }
        return steps;
    }

    private static void addSteps(JsonFields part, String sequence, List<JsonFields> steps) {
        if (!part.has(sequence)) {
            steps.add(part);
            return;
        }
        for (Object inner : part.list(sequence)) {
            addSteps(part.object(sequence, inner), sequence, steps);
        }
    }

    private static void checkNormalizer(JsonFields step) {
        if (step.has("precompiled_charsmap")
                || "Precompiled".equals(step.fields().get("type"))) {
            CharacterMap.check(step.what() + ": 'precompiled_charsmap'", step.text("precompiled_charsmap"));
        }
        if (step.has("pattern") && TextPattern.of(step).matchesNothing()) {
            throw new FormatException(
                    step.what() + ": 'pattern' finds the empty text, but must find at least one character");
        }
    }

    private static void checkSplit(JsonFields step) {
        if (step.has("length")) {
            step.whole("length", 1, Long.MAX_VALUE);
        }
    }

    private static void checkDecoder(JsonFields step) {
        if (step.has("stop") && step.whole("stop", 0, Long.MAX_VALUE) > 0) {
            throw new FormatException(
                    "%s: 'stop' is %s, but must be 0: the library counts past the beginning of short tokens"
                            .formatted(step.what(), step.fields().get("stop")));
        }
    }
}
