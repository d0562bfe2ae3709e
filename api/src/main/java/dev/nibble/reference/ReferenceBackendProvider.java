package dev.nibble.reference;

import dev.nibble.host.HostBackend;
import dev.nibble.host.HostExecution;
import dev.nibble.host.HostRuntime;
import dev.nibble.spi.Availability;
import dev.nibble.spi.Backend;
import dev.nibble.spi.BackendOptions;
import dev.nibble.spi.BackendProvider;
import dev.nibble.spi.Spi;

/** Provides {@code reference}: plain Java on one thread, the specification of every other backend. */
public final class ReferenceBackendProvider implements BackendProvider {
    private static final String NAME = "reference";
    private static final String DESCRIPTION =
            "plain Java on one thread; slow, the specification of every other backend";

    /** Makes the provider. */
    public ReferenceBackendProvider() {}

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
        return DESCRIPTION;
    }

    @Override
    public Availability availability() {
        return Availability.yes("always available");
    }

    @Override
    public int preference() {
        return 0;
    }

    @Override
    public Backend open(BackendOptions options) {
        HostRuntime runtime = new HostRuntime(options.seed(), options.strict());
        HostExecution.noteAttention(runtime.log(), options, NAME);
        HostBackend.Operations operations = new HostBackend.Operations(
                new ReferenceQuantize(runtime),
                new ReferenceGemm(runtime),
                new ReferenceNeural(runtime),
                new ReferenceConvolution(runtime, Tasks.IN_ORDER),
                new ReferenceCodec(),
                new ReferenceOptimizer(runtime),
                () -> {});
        return new HostBackend(NAME, DESCRIPTION, runtime, operations);
    }
}
