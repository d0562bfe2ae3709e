package dev.nibble.models;

import java.util.Locale;

/** What a run does about a step that went wrong: see docs/guard.md. */
public enum GuardAction {
    /** Nothing. */
    IGNORE,
    /** Tells, and goes on. */
    NOTE,
    /** Leaves the step's update out. */
    SKIP,
    /** Leaves the step's update out, and lets layers go on under a safer quantizer. */
    BACKOFF,
    /** Goes back to a checkpoint from before, and on with the data behind the step. */
    ROLLBACK,
    /** Ends the run. */
    STOP;

    /** {@return the name in recipes and records} */
    public String label() {
        return name().toLowerCase(Locale.ROOT);
    }
}
