package dev.nibble.models.train;

import dev.nibble.models.text.EntityScores;
import java.util.List;

/** What a task learns; decides what is counted and reported. */
public enum TaskKind {
    /** The next token of a text. Speed is in tokens, and an evaluation also gives perplexity and bits for each byte of the text. */
    LANGUAGE_MODEL("tokens", false),
    /** The class of a sample. Speed is in samples, and an evaluation counts right answers. */
    CLASSIFICATION("samples", true),
    /** The class of each word of a sentence. Speed is in sentences; right answers are words, and entities are scored. */
    TAGGING("sentences", true);

    /** Score: {@code exp(loss)}. */
    public static final String PERPLEXITY = "perplexity";

    /** Score: {@code loss / ln 2}, divided by the bytes of a token. */
    public static final String BITS_PER_BYTE = "bitsPerByte";

    private final String unit;
    private final boolean hasAccuracy;

    TaskKind(String unit, boolean hasAccuracy) {
        this.unit = unit;
        this.hasAccuracy = hasAccuracy;
    }

    /** {@return what a batch is counted in: tokens, samples, sentences} */
    public String unit() {
        return unit;
    }

    /** {@return the name of the speed in records: tokensPerSecond, samplesPerSecond, sentencesPerSecond} */
    public String speedKey() {
        return unit + "PerSecond";
    }

    /** {@return whether an evaluation gives the share of right answers} */
    public boolean hasAccuracy() {
        return hasAccuracy;
    }

    /** {@return names of what else an evaluation gives: shares in [0, 1], but for perplexity and bits} */
    public List<String> scores() {
        return switch (this) {
            case LANGUAGE_MODEL -> List.of(PERPLEXITY, BITS_PER_BYTE);
            case CLASSIFICATION -> List.of();
            case TAGGING -> EntityScores.NAMES;
        };
    }
}
