package dev.nibble.cli;

import dev.nibble.error.FormatException;
import dev.nibble.error.NibbleException;
import dev.nibble.error.NonFiniteException;
import dev.nibble.error.NotAvailableException;
import dev.nibble.error.StrictException;
import dev.nibble.models.files.IoReason;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import java.nio.file.InvalidPathException;

/**
 * How a command failed, for people and for scripts.
 *
 * @param status exit status
 * @param kind one word for scripts
 * @param message one line for people
 */
record Failure(int status, String kind, String message) {
    static final int DONE = 0;
    static final int FAILED = 1;
    static final int MISUSED = 2;
    static final int NOT_AVAILABLE = 3;
    static final int INTERRUPTED = 130;

    /** {@return the failure that an exception stands for} */
    static Failure of(Throwable thrown) {
        String message = oneLine(String.valueOf(thrown.getMessage()));
        return switch (thrown) {
            case NotAvailableException _ -> new Failure(NOT_AVAILABLE, "notAvailable", message);
            case FormatException _ -> new Failure(FAILED, "format", message);
            case NonFiniteException _ -> new Failure(FAILED, "nonFinite", message);
            case StrictException _ -> new Failure(FAILED, "strict", message);
            case NibbleException _ -> new Failure(FAILED, "failed", message);
            case InvalidPathException e -> new Failure(MISUSED, "usage", "'" + e.getInput() + "' is not a path");
            case IllegalArgumentException _ -> new Failure(MISUSED, "usage", message);
            case UncheckedIOException e -> of(e.getCause());
            case IOException e -> new Failure(FAILED, "io", oneLine(IoReason.of(e)));
            case OutOfMemoryError _ ->
                new Failure(FAILED, "memory", "the Java heap is full (" + message + "); lower the size or raise -Xmx");
            default ->
                new Failure(
                        FAILED,
                        "internal",
                        "unexpected " + thrown.getClass().getSimpleName() + ": " + message
                                + "; run again with --debug for the stack trace");
        };
    }

    /** {@return why a run failed} The command line was right, so what is wrong inside the run is never its misuse. */
    static Failure ofRun(Throwable thrown) {
        Failure failure = of(thrown);
        return failure.status == MISUSED ? new Failure(FAILED, "failed", failure.message) : failure;
    }

    /** {@return the stack trace as text} */
    static String trace(Throwable thrown) {
        StringWriter trace = new StringWriter();
        thrown.printStackTrace(new PrintWriter(trace, true));
        return trace.toString();
    }

    /** {@return the text with every run of white space as one space} */
    static String oneLine(String text) {
        return text.strip().replaceAll("\\s+", " ");
    }
}
