package dev.nibble.backend.cuda;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.nibble.spi.Availability;
import dev.nibble.spi.BackendOptions;

/** Opens the backend, or skips the test where there is no GPU. */
final class Gpu {
    private static final long SEED = 42;

    private Gpu() {}

    /** Skips the test where there is no GPU. */
    static void require() {
        Availability availability = new CudaBackendProvider().availability();
        assumeTrue(availability.available(), availability.reason());
    }

    /** {@return an open backend, ways to run as the system properties say} */
    static CudaBackend open() {
        return open(CudaSettings.ofProperties());
    }

    /** {@return an open backend} */
    static CudaBackend open(CudaSettings settings) {
        require();
        return UsedKernels.watched(CudaBackend.open(BackendOptions.withSeed(SEED), settings));
    }
}
