package org.example.backend;

import dev.nibble.host.HostBackend;
import dev.nibble.host.HostRuntime;
import dev.nibble.reference.ReferenceCodec;
import dev.nibble.reference.ReferenceConvolution;
import dev.nibble.reference.ReferenceGemm;
import dev.nibble.reference.ReferenceNeural;
import dev.nibble.reference.ReferenceOptimizer;
import dev.nibble.reference.ReferenceQuantize;
import dev.nibble.reference.Tasks;
import dev.nibble.spi.Availability;
import dev.nibble.spi.Backend;
import dev.nibble.spi.BackendOptions;
import dev.nibble.spi.BackendProvider;
import dev.nibble.spi.Spi;

/** Provides {@code example}: host memory, and operations that are replaced one by one. */
public final class ExampleBackendProvider implements BackendProvider {
    /** Called by the service loader; touches no device. */
    public ExampleBackendProvider() {}

    @Override
    public String name() {
        return "example";
    }

    @Override
    public int spiVersion() {
        return Spi.VERSION;
    }

    @Override
    public String description() {
        return "the reference code, to be replaced piece by piece";
    }

    @Override
    public Availability availability() {
        return Availability.yes("always available");
    }

    @Override
    public int preference() {
        return 1; // reference 0, cpu 10; auto takes the highest that is available
    }

    @Override
    public Backend open(BackendOptions options) {
        HostRuntime runtime = new HostRuntime(options.seed(), options.strict());
        HostBackend.Operations operations = new HostBackend.Operations(
                new ReferenceQuantize(runtime),
                new ReferenceGemm(runtime), // your GemmBackend goes here
                new ReferenceNeural(runtime),
                new ReferenceConvolution(runtime, Tasks.IN_ORDER),
                new ReferenceCodec(),
                new ReferenceOptimizer(runtime),
                () -> {});
        return new HostBackend(name(), description(), runtime, operations);
    }
}
