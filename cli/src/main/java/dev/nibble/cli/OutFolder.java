package dev.nibble.cli;

import dev.nibble.models.files.ResultFolder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDateTime;
import java.time.ZoneId;
import java.time.format.DateTimeFormatter;
import java.util.Optional;

/** The folder that results go to. */
final class OutFolder {
    private static final DateTimeFormatter STAMP = DateTimeFormatter.ofPattern("yyyyMMdd-HHmmss");

    private OutFolder() {}

    /**
     * {@return the folder, made if it did not exist}
     *
     * @param given what {@code --out} says
     * @param command name of the command, for the default
     * @param marker the file by which a folder of this command is known
     * @throws IllegalArgumentException if it holds something else
     * @throws dev.nibble.error.NibbleException if it cannot be made or written
     */
    static Path prepare(Optional<Path> given, String command, String marker) {
        Path folder = given.orElseGet(() -> fresh(command));
        ResultFolder.prepare("--out", folder, "nibble " + command, marker);
        return folder;
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
