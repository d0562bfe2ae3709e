package dev.nibble.backend.cpu;

import dev.nibble.host.HostBackend;
import dev.nibble.host.HostRuntime;
import dev.nibble.reference.ReferenceCodec;
import dev.nibble.reference.ReferenceOptimizer;
import dev.nibble.spi.Backend;
import dev.nibble.spi.BackendOptions;

/** Puts the backend together. Apart from its provider because it links the Vector API. */
final class CpuBackend {
    private CpuBackend() {}

    static Backend open(BackendOptions options) {
        int threads = options.threads() == 0 ? Runtime.getRuntime().availableProcessors() : options.threads();
        HostRuntime runtime = new HostRuntime(options.seed(), options.strict());
        Workers workers = new Workers(threads);
        HostBackend.Operations operations = new HostBackend.Operations(
                new CpuQuantize(runtime, workers),
                new CpuGemm(runtime, workers),
                new CpuNeural(runtime, workers),
                new ReferenceCodec(workers::forEach, new CpuCodec()),
                new ReferenceOptimizer(runtime, workers::forEach), // loops that C2 vectorizes as they are
                workers::close);
        return new HostBackend("cpu", description(threads), runtime, operations);
    }

    private static String description(int threads) {
        return "%d thread%s, %d-bit vectors, %s, Java %d"
                .formatted(
                        threads,
                        threads == 1 ? "" : "s",
                        TileKernel.LANES.vectorBitSize(),
                        System.getProperty("os.arch"),
                        Runtime.version().feature());
    }
}
