package dev.nibble.models.text;

import dev.nibble.error.FormatException;
import dev.nibble.models.files.JsonFields;
import java.util.List;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;

/**
 * What a normalizer replaces, as far as Java's expressions are those of the library.
 *
 * @param pattern what is looked for; none if Java cannot read it
 */
record TextPattern(Optional<Pattern> pattern) {
    private static final int LONGEST = 4096; // characters
    private static final List<String> SAMPLES = List.of("", "a", " ", "ab1\n", " .A\u00e9 \u9be8 ");

    /**
     * {@return the pattern of a step}
     *
     * @throws FormatException if there is none, or it is too long
     */
    static TextPattern of(JsonFields step) {
        JsonFields pattern = step.object("pattern");
        boolean plain = pattern.has("String");
        String text = pattern.text(plain ? "String" : "Regex");
        if (text.length() > LONGEST) {
            throw new FormatException(
                    "%s has %d characters, but at most %d are read".formatted(pattern.what(), text.length(), LONGEST));
        }
        try {
            return new TextPattern(
                    Optional.of(Pattern.compile(text, plain ? Pattern.LITERAL : Pattern.UNICODE_CHARACTER_CLASS)));
        } catch (PatternSyntaxException _) {
            return new TextPattern(Optional.empty());
        }
    }

    /** {@return whether it finds a text without characters in one of some samples} */
    boolean matchesNothing() {
        return pattern.stream()
                .anyMatch(known -> SAMPLES.stream().anyMatch(sample -> {
                    Matcher matcher = known.matcher(sample);
                    while (matcher.find()) {
                        if (matcher.start() == matcher.end()) {
                            return true;
                        }
                    }
                    return false;
                }));
    }

    /** {@return a text without what is found in it} */
    String removedFrom(String text) {
        try {
            return pattern.map(known -> known.matcher(text).replaceAll("")).orElse(text);
        } catch (StackOverflowError _) { // Java repeats groups by calls, and a text may be long
            return text;
        }
    }
}
