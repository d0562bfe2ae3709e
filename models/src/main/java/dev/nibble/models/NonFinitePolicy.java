package dev.nibble.models;

import dev.nibble.spi.Names;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;

/** What a run does when NaN or infinity turns up. No weight changes in such a step under any policy. */
public enum NonFinitePolicy {
    /** Ends the run and names the layer and the operand. */
    STOP(GuardAction.STOP),
    /** Leaves the step out, counts it, and goes on. */
    SKIP(GuardAction.SKIP),
    /** Leaves the step out, and lets the layer that met it first go on under a safer quantizer. */
    BACKOFF(GuardAction.BACKOFF),
    /** Goes back to a checkpoint from before, and on with the data behind the step. */
    ROLLBACK(GuardAction.ROLLBACK);

    private final GuardAction action;

    NonFinitePolicy(GuardAction action) {
        this.action = action;
    }

    /** {@return what is done} */
    GuardAction action() {
        return action;
    }

    /** {@return the name in recipes and on command lines} */
    public String label() {
        return name().toLowerCase(Locale.ROOT);
    }

    /**
     * {@return the policy with this label}
     *
     * @param what where the label stands, for the message
     * @throws IllegalArgumentException naming the known ones
     */
    public static NonFinitePolicy parse(String what, String label) {
        List<String> known = Arrays.stream(values()).map(NonFinitePolicy::label).toList();
        int place = known.indexOf(label);
        if (place < 0) {
            throw new IllegalArgumentException(what + " is '" + label + "'; " + Names.suggest(label, known));
        }
        return values()[place];
    }
}
