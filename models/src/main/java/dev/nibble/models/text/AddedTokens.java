package dev.nibble.models.text;

import dev.nibble.error.FormatException;
import dev.nibble.models.files.JsonFields;
import dev.nibble.models.files.JsonTree;
import java.util.List;
import java.util.Set;

/** The tokens that a tokenizer.json finds in a text before its model sees it. */
final class AddedTokens {
    private static final Set<String> REMOVERS = Set.of("Strip", "StripAccents", "Nmt", "BertNormalizer", "Precompiled");

    private AddedTokens() {}

    /**
     * Refuses tokens that the library cannot look for.
     *
     * @param json the tokenizer
     * @param normalizers its steps, in order
     * @throws FormatException naming the token
     */
    static void check(JsonFields json, List<JsonFields> normalizers) {
        boolean takesSpaces = false;
        boolean beginsWithSpace = false;
        for (Object added : json.list("added_tokens")) {
            JsonFields token = json.object("added_tokens", added);
            String content = token.text("content");
            if (is(token, "normalized") && vanishes(content, normalizers)) {
                throw new FormatException("%s: token %s is normalized, and nothing may be left of it then"
                        .formatted(token.what(), JsonTree.quoted(content)));
            }
            takesSpaces |= is(token, "rstrip");
            beginsWithSpace |= !content.isEmpty() && isSpace(content.codePointAt(0));
        }
        if (takesSpaces && beginsWithSpace) {
            throw new FormatException(json.what()
                    + ": 'added_tokens' has a token that takes the spaces behind it (rstrip), and one that"
                    + " begins with a space");
        }
    }

    private static boolean is(JsonFields token, String name) {
        return Boolean.TRUE.equals(token.fields().get(name));
    }

    private static boolean vanishes(String content, List<JsonFields> normalizers) {
        if (content.isEmpty()) {
            return false; // the library leaves such a token out
        }
        String left = content;
        boolean removes = false;
        for (JsonFields step : normalizers) {
            if (step.has("pattern") && "".equals(step.fields().get("content"))) {
                left = TextPattern.of(step).removedFrom(left);
            }
            Object type = step.fields().get("type");
            removes |= type == null || REMOVERS.contains(type);
        }
        return left.isEmpty() || (removes && left.codePoints().allMatch(AddedTokens::mayVanish));
    }

    /** Spaces, controls, formats and marks. */
    private static boolean mayVanish(int c) {
        return isSpace(c)
                || Character.isISOControl(c)
                || switch (Character.getType(c)) {
                    case Character.FORMAT,
                            Character.NON_SPACING_MARK,
                            Character.COMBINING_SPACING_MARK,
                            Character.ENCLOSING_MARK,
                            Character.UNASSIGNED -> true;
                    default -> false;
                };
    }

    private static boolean isSpace(int c) {
        return Character.isWhitespace(c) || Character.isSpaceChar(c) || c == 0x85;
    }
}
