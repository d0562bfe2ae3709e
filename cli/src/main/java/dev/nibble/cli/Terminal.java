package dev.nibble.cli;

import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * Where a command writes, and how it hears that it should stop.
 *
 * @param out results
 * @param err progress and errors
 * @param interactive whether {@code err} is a screen, on which a line can be drawn over
 * @param interruption says whether Ctrl-C was pressed
 */
record Terminal(PrintStream out, PrintStream err, boolean interactive, Interruption interruption) {
    /** {@return the terminal of this process} */
    static Terminal ofProcess(Interruption interruption) {
        return new Terminal(System.out, System.err, errorIsScreen(), interruption);
    }

    /** System.console() speaks of standard input and output only, so the standard error's own device is asked first. */
    private static boolean errorIsScreen() {
        Path device = Path.of("/proc/self/fd/2");
        if (Files.isSymbolicLink(device)) {
            try {
                String target = Files.readSymbolicLink(device).toString();
                return target.startsWith("/dev/pts/") || target.startsWith("/dev/tty");
            } catch (IOException _) {
                return false;
            }
        }
        return System.console().isTerminal();
    }
}
