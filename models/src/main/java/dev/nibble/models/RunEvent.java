package dev.nibble.models;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.SequencedMap;

/**
 * Something that changed the course of a run: its guard acted, or layers got another quantizer.
 *
 * @param step the step that went wrong, or the first one under another quantizer; of an evaluation, the step before
 * @param cause why
 * @param action what was done
 * @param layers layers that back off or got another quantizer; empty if none did
 * @param target of a ROLLBACK: the step that was done next; else the step after this one
 * @param message one sentence
 */
public record RunEvent(int step, Cause cause, GuardAction action, List<String> layers, int target, String message) {
    /** Copies the list. */
    public RunEvent {
        layers = List.copyOf(layers);
    }

    /** Why something happened. */
    public enum Cause {
        /** The recipe says so. */
        SCHEDULE("schedule"),
        /** NaN or infinity. */
        NON_FINITE("nonfinite"),
        /** A loss far above those before it. */
        SPIKE("spike");

        private final String label;

        Cause(String label) {
            this.label = label;
        }

        /** {@return the name in records} */
        public String label() {
            return label;
        }
    }

    /** {@return whether the guard did something, and did not only tell} */
    boolean acted() {
        return cause != Cause.SCHEDULE && action != GuardAction.NOTE;
    }

    /** {@return the event by name, as records have it; strings, integers and lists} */
    public SequencedMap<String, Object> facts() {
        SequencedMap<String, Object> facts = new LinkedHashMap<>();
        facts.put("step", step);
        facts.put("cause", cause.label());
        facts.put("action", action.label());
        facts.put("layers", layers);
        facts.put("nextStep", target);
        facts.put("message", message);
        return facts;
    }
}
