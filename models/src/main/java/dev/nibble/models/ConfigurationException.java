package dev.nibble.models;

import java.util.Collection;
import java.util.List;

/** A configuration that cannot be run, with everything that is wrong with it. */
public final class ConfigurationException extends IllegalArgumentException {
    private static final long serialVersionUID = 1;

    private final transient List<String> problems;

    /**
     * Names problems.
     *
     * @param problems one sentence each, at least one
     */
    public ConfigurationException(Collection<String> problems) {
        super(String.join("; ", problems));
        this.problems = List.copyOf(problems);
    }

    /** {@return what is wrong, each in one sentence} */
    public List<String> problems() {
        return problems;
    }

    /** Throws if there is a problem. */
    static void throwIfAny(Collection<String> problems) {
        if (!problems.isEmpty()) {
            throw new ConfigurationException(problems);
        }
    }
}
