package dev.nibble.cli;

import java.util.List;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Unmatched;

/** {@code nibble bench}. */
@Command(
        name = "bench",
        versionProvider = Nibble.Version.class,
        description = "GEMM and linear-layer timings against FP32 and BF16. Not in this version.")
final class BenchCommand implements Action {
    @Mixin
    CommonOptions common;

    @Unmatched
    List<String> ignored;

    @Override
    public CommonOptions common() {
        return common;
    }

    @Override
    public Answer run(Terminal terminal, List<String> command) {
        throw new IllegalArgumentException(
                "bench is not in this version; nibble compare reports tokens per second for whole training steps");
    }
}
