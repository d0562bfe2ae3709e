package dev.nibble.models.train;

/** What a task learns; decides what is counted and reported. */
public enum TaskKind {
    /** The next token of a text. Speed is in tokens. */
    LANGUAGE_MODEL("tokens", false),
    /** The class of a sample. Speed is in samples, and an evaluation counts right answers. */
    CLASSIFICATION("samples", true);

    private final String unit;
    private final boolean hasAccuracy;

    TaskKind(String unit, boolean hasAccuracy) {
        this.unit = unit;
        this.hasAccuracy = hasAccuracy;
    }

    /** {@return what a batch is counted in: tokens, samples} */
    public String unit() {
        return unit;
    }

    /** {@return the name of the speed in records: tokensPerSecond, samplesPerSecond} */
    public String speedKey() {
        return unit + "PerSecond";
    }

    /** {@return whether an evaluation gives the share of right answers} */
    public boolean hasAccuracy() {
        return hasAccuracy;
    }
}
