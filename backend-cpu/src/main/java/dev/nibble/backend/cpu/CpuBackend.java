package dev.nibble.backend.cpu;

import dev.nibble.error.StrictException;
import dev.nibble.host.HostBackend;
import dev.nibble.host.HostExecution;
import dev.nibble.host.HostRuntime;
import dev.nibble.reference.ReferenceCodec;
import dev.nibble.reference.ReferenceConvolution;
import dev.nibble.reference.ReferenceOptimizer;
import dev.nibble.spi.Backend;
import dev.nibble.spi.BackendOptions;
import dev.nibble.spi.CodecOps;
import java.util.Optional;

/** Puts the backend together. Apart from its providers because it links the Vector API. */
final class CpuBackend {
    private CpuBackend() {}

    /**
     * Opens the backend with the native library, or without it where it is not available.
     *
     * @throws StrictException if it is not available and the run is strict
     */
    static Backend open(BackendOptions options) {
        NativeLibrary.Outcome outcome = NativeLibrary.outcome();
        if (outcome.kernels().isEmpty() && options.strict()) {
            throw new StrictException("backend cpu has only its portable path here (" + outcome.reason()
                    + "), and the run is strict; --backend " + CpuPortableProvider.NAME + " asks for that path");
        }
        String path = outcome.kernels()
                .map(kernels -> "native " + kernels.level().label)
                .orElse("portable path");
        return open(
                "cpu", options, outcome.kernels(), outcome.reason().isEmpty() ? path : path + ": " + outcome.reason());
    }

    /** Opens the backend without the native library. */
    static Backend openPortable(BackendOptions options) {
        return open(CpuPortableProvider.NAME, options, Optional.empty(), "portable path: asked for");
    }

    private static Backend open(String name, BackendOptions options, Optional<NativeKernels> kernels, String path) {
        int threads = options.threads() == 0 ? Runtime.getRuntime().availableProcessors() : options.threads();
        HostRuntime runtime = new HostRuntime(options.seed(), options.strict());
        HostExecution.noteAttention(runtime.log(), options, name);
        Workers workers = new Workers(threads);
        CpuGemm gemm = new CpuGemm(runtime, workers, kernels);
        CpuNeural neural = new CpuNeural(runtime, workers, kernels);
        HostBackend.Operations operations = new HostBackend.Operations(
                new CpuQuantize(runtime, workers, kernels),
                gemm,
                neural,
                new ReferenceConvolution(runtime, workers::forEach), // C2 vectorizes its loops as they are
                codec(workers, kernels),
                new ReferenceOptimizer(
                        runtime, workers::forEach, squares(kernels)), // C2 vectorizes the update as it is
                () -> {
                    workers.close();
                    gemm.close();
                    neural.close();
                });
        return new HostBackend(name, description(threads, path), runtime, operations);
    }

    private static CodecOps codec(Workers workers, Optional<NativeKernels> kernels) {
        return kernels.filter(NativeKernels::quantizes)
                .<CodecOps>map(library -> new NativeCodec(library, workers))
                .orElseGet(() -> new ReferenceCodec(workers::forEach, new CpuCodec()));
    }

    private static ReferenceOptimizer.SquareSum squares(Optional<NativeKernels> kernels) {
        return kernels.filter(NativeKernels::quantizes)
                .<ReferenceOptimizer.SquareSum>map(library -> library.neural()::squares)
                .orElse(SquareLanes::sum);
    }

    private static String description(int threads, String path) {
        return "%d thread%s, %d-bit vectors, %s, %s, Java %d"
                .formatted(
                        threads,
                        threads == 1 ? "" : "s",
                        TileKernel.LANES.vectorBitSize(),
                        path,
                        System.getProperty("os.arch"),
                        Runtime.version().feature());
    }
}
