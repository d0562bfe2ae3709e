package dev.nibble.cli;

import dev.nibble.error.NibbleException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.time.LocalDateTime;
import java.time.ZoneId;
import java.time.format.DateTimeFormatter;
import java.util.Optional;
import java.util.stream.Stream;

/** The folder that results go to. */
final class OutFolder {
    private static final DateTimeFormatter STAMP = DateTimeFormatter.ofPattern("yyyyMMdd-HHmmss");

    private OutFolder() {}

    /**
     * {@return the folder, made if it did not exist} A folder that an earlier run of the same command filled is used
     * again, and its files are replaced.
     *
     * @param given what {@code --out} says
     * @param command name of the command, for the default
     * @param marker the file by which a folder of this command is known
     * @throws IllegalArgumentException if it holds something else
     * @throws NibbleException if it cannot be made or written
     */
    static Path prepare(Optional<Path> given, String command, String marker) {
        Path folder = given.orElseGet(() -> fresh(command));
        if (Files.exists(folder, LinkOption.NOFOLLOW_LINKS) && !Files.isDirectory(folder)) {
            throw new NibbleException("--out " + folder + " is a file, but must be a folder");
        }
        try {
            Files.createDirectories(folder);
            requireOwn(folder, command, marker);
            if (!Files.isWritable(folder)) {
                throw new NibbleException("--out " + folder + " is not writable");
            }
            return folder;
        } catch (IOException e) {
            throw new NibbleException(
                    "--out " + folder + " cannot be used: " + Failure.of(e).message(), e);
        }
    }

    private static void requireOwn(Path folder, String command, String marker) throws IOException {
        boolean empty;
        try (Stream<Path> entries = Files.list(folder)) {
            empty = entries.findAny().isEmpty();
        }
        if (!empty && !Files.isRegularFile(folder.resolve(marker))) {
            throw new IllegalArgumentException("--out " + folder + " is not empty and holds no results of nibble "
                    + command + " (" + marker + "); name an empty or new folder");
        }
    }

    /** Two runs started in one second get different folders. */
    private static Path fresh(String command) {
        Path parent = Path.of("nibble-out");
        String name = command + "-" + STAMP.format(LocalDateTime.now(ZoneId.systemDefault()));
        Path folder = parent.resolve(name);
        for (int i = 2; Files.exists(folder); i++) {
            folder = parent.resolve(name + "-" + i);
        }
        return folder;
    }
}
