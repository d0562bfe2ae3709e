package dev.nibble.cli;

import dev.nibble.spi.Plugins;
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

    /** Checks an option that counts something. */
    void requirePositive(String option, long value) {
        if (value < 1) {
            add(option + " is " + value + ", but must be at least 1");
        }
    }

    /** Checks {@code --threads}. */
    void requireThreads(int threads) {
        if (threads < 0) {
            add("--threads is " + threads + ", but must be 0 (all) or more");
        }
    }

    /** Checks that a backend is known; {@code auto} always is. */
    void requireBackend(String name) {
        if (!name.equals("auto")) {
            collect(() -> Plugins.backends().get(name));
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
