package dev.nibble.cli;

import dev.nibble.spi.Backend;
import dev.nibble.spi.BackendOptions;
import dev.nibble.spi.Plugins;
import dev.nibble.spi.Quantizer;
import picocli.CommandLine.Option;

/** Which quantizer looks at a tensor, and where. */
final class PluginOptions {
    @Option(
            names = "--quantizer",
            paramLabel = "NAME[:k=v,...]",
            defaultValue = "int8-fallback",
            description = "Quantizer and its options (default: ${DEFAULT-VALUE}). See nibble list.")
    String quantizer;

    @Option(
            names = "--backend",
            paramLabel = "NAME",
            defaultValue = "auto",
            description = "Backend whose kernels run; reference is the plain code (default: ${DEFAULT-VALUE}).")
    String backend;

    @Option(
            names = "--seed",
            paramLabel = "N",
            defaultValue = "0",
            description = "Seed of random draws (default: ${DEFAULT-VALUE}).")
    long seed;

    @Option(
            names = "--samples",
            paramLabel = "N",
            defaultValue = "1",
            description = "Draw N times, draw i with the random numbers of step i (default: ${DEFAULT-VALUE}).")
    int samples;

    @Option(
            names = "--threads",
            paramLabel = "N",
            defaultValue = "0",
            description = "Host threads that compute; 0 for all. Never changes a number.")
    int threads;

    @Option(names = "--strict", description = "Fail if a product does not run in the formats asked for.")
    boolean strict;

    /** {@return the quantizer} Notes an unknown name or option, an unknown backend, a bad count. */
    Quantizer check(Problems problems) {
        problems.requirePositive("--samples", samples);
        problems.requireThreads(threads);
        problems.requireBackend(backend);
        return problems.collect(() -> QuantizerName.quantizer(quantizer), layer -> {
            throw new IllegalStateException("no quantizer for " + layer.site().name());
        });
    }

    /** {@return the backend, owned by the caller} */
    Backend open() {
        return Plugins.openBackend(backend, new BackendOptions(seed, threads, strict));
    }
}
