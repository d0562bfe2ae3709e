package dev.nibble.models;

/**
 * When a {@link LayerOverride} begins to count.
 *
 * @param kind what it is
 * @param step of a STEP: the first optimizer step, from 0; else 0
 */
public record Moment(Kind kind, int step) {
    /** From the first step on. */
    public static final Moment START = new Moment(Kind.STEP, 0);

    private static final String FINE_TUNING = "fineTune";
    private static final String BACK_OFF = "backoff";

    /** What a moment is. */
    public enum Kind {
        /** An optimizer step. */
        STEP,
        /** The first step of fine-tuning. */
        FINE_TUNING,
        /** When the guard of the run has the layer back off: see docs/guard.md. */
        BACK_OFF
    }

    /**
     * Reads the part of a key behind the {@code @}.
     *
     * @param text a step, {@code fineTune} or {@code backoff}
     * @throws IllegalArgumentException if it is something else
     */
    public static Moment parse(String text) {
        if (text.equals(FINE_TUNING)) {
            return new Moment(Kind.FINE_TUNING, 0);
        }
        if (text.equals(BACK_OFF)) {
            return new Moment(Kind.BACK_OFF, 0);
        }
        if (!text.matches("\\d{1,9}")) {
            throw new IllegalArgumentException(
                    "'%s' is no moment; a pattern of layers is followed by nothing, or by @ and a step, %s or %s"
                            .formatted(text, FINE_TUNING, BACK_OFF));
        }
        return new Moment(Kind.STEP, Integer.parseInt(text));
    }

    /** {@return the text that {@link #parse} reads} */
    public String label() {
        return switch (kind) {
            case STEP -> String.valueOf(step);
            case FINE_TUNING -> FINE_TUNING;
            case BACK_OFF -> BACK_OFF;
        };
    }

    /** {@return the first step, in a run that has so many before fine-tuning} */
    int stepIn(int steps) {
        return kind == Kind.FINE_TUNING ? steps : step;
    }
}
