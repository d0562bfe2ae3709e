package dev.nibble.report;

import dev.nibble.error.StrictException;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/** Collects the distinct rows of a backend, in the order of their first launch. */
public final class ExecutionLog {
    private final boolean strict;
    private final Set<ExecutionRow> rows = new LinkedHashSet<>();

    /**
     * Makes an empty log.
     *
     * @param strict whether a row that {@link ExecutionRow#differs()} is an error
     */
    public ExecutionLog(boolean strict) {
        this.strict = strict;
    }

    /**
     * Notes a launch.
     *
     * @throws StrictException if the log is strict and the row differs from what was asked for
     */
    public void launched(ExecutionRow row) {
        rows.add(row);
        if (strict && row.differs()) {
            throw new StrictException("%s of layer %s asked for %s, but ran %s from %s (%s)"
                    .formatted(
                            row.product(),
                            row.layer(),
                            row.requestedFormat(),
                            row.kernel(),
                            row.storedFormat(),
                            row.reason()));
        }
    }

    /** {@return the rows so far} */
    public List<ExecutionRow> rows() {
        return new ArrayList<>(rows);
    }
}
