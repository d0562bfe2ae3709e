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
        return "the host's processors, with the Vector API";
    }

    @Override
    public Availability availability() {
        int processors = Runtime.getRuntime().availableProcessors();
        return ModuleLayer.boot().findModule(VECTOR_MODULE).isPresent()
                ? Availability.yes(processors + " processors, Vector API")
                : Availability.no(
                        "module " + VECTOR_MODULE + " is not resolved; start java with --add-modules " + VECTOR_MODULE);
    }

    @Override
    public int preference() {
        return 10;
    }

    @Override
    public Backend open(BackendOptions options) {
        Availability availability = availability();
        if (!availability.available()) {
            throw new NotAvailableException("backend cpu is not available: " + availability.reason());
        }
        return CpuBackend.open(options);
    }
}
