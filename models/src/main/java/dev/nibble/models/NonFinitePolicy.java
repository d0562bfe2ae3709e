package dev.nibble.models;

import dev.nibble.spi.Names;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;

/** What a run does when NaN or infinity turns up. No weight changes in such a step under either policy. */
public enum NonFinitePolicy {
    /** Ends the run and names the layer and the operand. */
    STOP,
    /** Leaves the step out, counts it, and goes on. */
    SKIP;

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
