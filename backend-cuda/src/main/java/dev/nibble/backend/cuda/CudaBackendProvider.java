package dev.nibble.backend.cuda;

import dev.nibble.error.NotAvailableException;
import dev.nibble.spi.Availability;
import dev.nibble.spi.Backend;
import dev.nibble.spi.BackendOptions;
import dev.nibble.spi.BackendProvider;
import dev.nibble.spi.Spi;

/** Provides {@code cuda}. Refers to no class of JCuda, so that it loads where that is missing. */
public final class CudaBackendProvider implements BackendProvider {
    /** Makes the provider. */
    public CudaBackendProvider() {}

    @Override
    public String name() {
        return "cuda";
    }

    @Override
    public int spiVersion() {
        return Spi.VERSION;
    }

    @Override
    public String description() {
        return "an NVIDIA GPU, through the driver API";
    }

    @Override
    public Availability availability() {
        return DeviceProbe.availability();
    }

    @Override
    public int preference() {
        return 20;
    }

    @Override
    public Backend open(BackendOptions options) {
        Availability availability = availability();
        if (!availability.available()) {
            throw new NotAvailableException("backend cuda is not available: " + availability.reason());
        }
        return CudaBackend.open(options, CudaSettings.ofProperties());
    }
}
