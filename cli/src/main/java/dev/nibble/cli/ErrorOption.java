package dev.nibble.cli;

import picocli.CommandLine.Option;

/** How often quantization errors are measured while a run goes on. */
final class ErrorOption {
    @Option(
            names = "--errors-every",
            paramLabel = "K",
            defaultValue = "0",
            description =
                    "Every K steps, measure what quantizing does to the operands and products of each layer, as nibble"
                            + " diagnose does, for the report and errors.csv (default: never). Such a step takes longer"
                            + " and more memory; its numbers stay what they are.")
    int every;

    /** Notes what is wrong with it. */
    void check(Problems problems) {
        if (every < 0) {
            problems.add("--errors-every is " + every + ", but must be 0 (never) or more");
        }
    }
}
