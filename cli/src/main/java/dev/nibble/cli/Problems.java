package dev.nibble.cli;

import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;

/** Collects what is wrong with a command line, so that all of it is told at once. */
final class Problems {
    private final List<String> found = new ArrayList<>();

    /** Notes a problem. */
    void add(String problem) {
        if (!found.contains(problem)) {
            found.add(problem);
        }
    }

    /** Runs a check, and notes what it complains about. */
    void collect(Runnable check) {
        try {
            check.run();
        } catch (IllegalArgumentException e) {
            add(e.getMessage());
        }
    }

    /** {@return what the check gives, or the substitute if it complains} */
    <T> T collect(Supplier<T> check, T substitute) {
        try {
            return check.get();
        } catch (IllegalArgumentException e) {
            add(e.getMessage());
            return substitute;
        }
    }

    /**
     * Does nothing if there is no problem.
     *
     * @throws IllegalArgumentException naming all problems
     */
    void throwIfAny() {
        if (!found.isEmpty()) {
            throw new IllegalArgumentException(String.join("; ", found));
        }
    }
}
