package dev.nibble.cli;

import java.nio.file.Path;
import java.util.Optional;
import picocli.CommandLine.Option;

/** Where the results of training go. */
final class OutOption {
    @Option(
            names = "--out",
            paramLabel = "DIR",
            description =
                    "Folder for the results: new, empty, or filled by this command before, whose files are replaced"
                            + " (default: a new one in ./nibble-out).")
    Optional<Path> folder;
}
