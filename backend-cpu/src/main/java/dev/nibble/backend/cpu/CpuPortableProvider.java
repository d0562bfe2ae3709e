package dev.nibble.backend.cpu;

import dev.nibble.spi.Availability;
import dev.nibble.spi.Backend;
import dev.nibble.spi.BackendOptions;
import dev.nibble.spi.BackendProvider;
import dev.nibble.spi.Spi;

/** Provides {@code cpu-portable}: backend {@code cpu} without its native library, with the same bits. */
public final class CpuPortableProvider implements BackendProvider {
    static final String NAME = "cpu-portable";

    private final CpuBackendProvider cpu = new CpuBackendProvider();

    /** Makes the provider. */
    public CpuPortableProvider() {}

    @Override
    public String name() {
        return NAME;
    }

    @Override
    public int spiVersion() {
        return Spi.VERSION;
    }

    @Override
    public String description() {
        return "the host's processors, with the Vector API alone";
    }

    @Override
    public Availability availability() {
        return cpu.vectors();
    }

    @Override
    public int preference() {
        return cpu.preference() - 1;
    }

    @Override
    public Backend open(BackendOptions options) {
        CpuBackendProvider.requireAvailable(NAME, availability());
        return CpuBackend.openPortable(options);
    }
}
