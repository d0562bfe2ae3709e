package dev.nibble.cli;

import picocli.CommandLine.Option;

/** Which backend computes with a checkpoint. */
final class BackendOption {
    @Option(
            names = "--backend",
            paramLabel = "NAME",
            defaultValue = "auto",
            description = "Backend that computes: auto, or a name from nibble list (default: ${DEFAULT-VALUE}).")
    String name;

    /** Notes a name that is unknown. */
    void check(Problems problems) {
        problems.requireBackend(name);
    }
}
