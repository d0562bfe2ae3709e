package dev.nibble.backend.cpu;

import dev.nibble.error.NotAvailableException;
import dev.nibble.spi.Availability;
import dev.nibble.spi.Backend;
import dev.nibble.spi.BackendOptions;
import dev.nibble.spi.BackendProvider;
import dev.nibble.spi.Spi;

/** Provides {@code cpu}. Refers to no class of the Vector API, so that it loads where that module is missing. */
public final class CpuBackendProvider implements BackendProvider {
    private static final String VECTOR_MODULE = "jdk.incubator.vector";

    /** Makes the provider. */
    public CpuBackendProvider() {}

    @Override
    public String name() {
        return "cpu";
    }

    @Override
    public int spiVersion() {
        return Spi.VERSION;
    }

    @Override
    public String description() {
        return "the host's processors, with the Vector API and a native library for low-bit codes";
    }

    @Override
    public Availability availability() {
        Availability vectors = vectors();
        if (!vectors.available()) {
            return vectors;
        }
        NativeLibrary.Outcome outcome = NativeLibrary.outcome();
        String path = outcome.kernels()
                .map(kernels -> "native path " + kernels.level().label)
                .orElse("portable path");
        return Availability.yes(
                vectors.reason() + ", " + path + (outcome.reason().isEmpty() ? "" : " (" + outcome.reason() + ")"));
    }

    /** {@return whether the Vector API is there} */
    Availability vectors() {
        int processors = Runtime.getRuntime().availableProcessors();
        return ModuleLayer.boot().findModule(VECTOR_MODULE).isPresent()
                ? Availability.yes(processors + " processors, Vector API")
                : Availability.no(
                        "module " + VECTOR_MODULE + " is not resolved; start java with --add-modules " + VECTOR_MODULE);
    }

    static void requireAvailable(String name, Availability availability) {
        if (!availability.available()) {
            throw new NotAvailableException("backend " + name + " is not available: " + availability.reason());
        }
    }

    @Override
    public int preference() {
        return 10;
    }

    @Override
    public Backend open(BackendOptions options) {
        requireAvailable(name(), vectors());
        return CpuBackend.open(options);
    }
}
