package dev.nibble.cli;

import java.io.Console;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Where a command writes, and how it hears that it should stop.
 *
 * @param out results
 * @param outColumns characters of a line of {@code out}; as many as can be if it is no screen
 * @param err progress and errors
 * @param errColumns characters of a line of the screen that {@code err} is, on which a line can be drawn over; 0 if it is
 *     none
 * @param interruption says whether Ctrl-C was pressed
 */
record Terminal(PrintStream out, int outColumns, PrintStream err, int errColumns, Interruption interruption) {
    private static final int USUAL_COLUMNS = 80;
    private static final Pattern SIZE = Pattern.compile("\\d+ ([1-9]\\d{0,4})");

    /** {@return the terminal of this process} */
    static Terminal ofProcess(Interruption interruption) {
        boolean out = isScreen(1);
        boolean err = isScreen(2);
        int columns = out || err ? columns() : 0;
        return new Terminal(System.out, out ? columns : Integer.MAX_VALUE, System.err, err ? columns : 0, interruption);
    }

    /** {@return whether {@code err} is a screen} */
    boolean interactive() {
        return errColumns > 0;
    }

    /** System.console() speaks of standard input and output only, so the stream's own device is asked first. */
    private static boolean isScreen(int descriptor) {
        Path device = Path.of("/proc/self/fd/" + descriptor);
        if (Files.isSymbolicLink(device)) {
            try {
                String target = Files.readSymbolicLink(device).toString();
                return target.startsWith("/dev/pts/") || target.startsWith("/dev/tty");
            } catch (IOException _) {
                return false;
            }
        }
        return Optional.ofNullable(System.console())
                .map(Console::isTerminal)
                .orElse(false); // JDK 25 has none where input or output is no terminal
    }

    /** {@return the columns of the screen as stty tells them, or the usual ones: Java does not know} */
    private static int columns() {
        try {
            Process stty = new ProcessBuilder("stty", "size")
                    .redirectInput(new File("/dev/tty"))
                    .redirectError(ProcessBuilder.Redirect.DISCARD)
                    .start();
            try (InputStream told = stty.getInputStream()) {
                String size = new String(told.readAllBytes(), StandardCharsets.US_ASCII).strip();
                Matcher matcher = SIZE.matcher(size);
                return stty.waitFor(1, TimeUnit.SECONDS) && matcher.matches()
                        ? Integer.parseInt(matcher.group(1))
                        : USUAL_COLUMNS;
            }
        } catch (IOException _) {
            return USUAL_COLUMNS;
        } catch (InterruptedException _) {
            Thread.currentThread().interrupt();
            return USUAL_COLUMNS;
        }
    }
}
