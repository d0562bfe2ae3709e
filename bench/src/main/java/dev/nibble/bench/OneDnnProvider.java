package dev.nibble.bench;

import dev.nibble.error.NotAvailableException;
import dev.nibble.host.HostBackend;
import dev.nibble.host.HostRuntime;
import dev.nibble.reference.ReferenceCodec;
import dev.nibble.reference.ReferenceConvolution;
import dev.nibble.reference.ReferenceNeural;
import dev.nibble.reference.ReferenceOptimizer;
import dev.nibble.reference.ReferenceQuantize;
import dev.nibble.reference.Tasks;
import dev.nibble.spi.Availability;
import dev.nibble.spi.Backend;
import dev.nibble.spi.BackendOptions;
import dev.nibble.spi.BackendProvider;
import dev.nibble.spi.Spi;

/** Provides {@code onednn}: FP32 products by oneDNN, the base line of the benchmarks. All else is the plain code. */
public final class OneDnnProvider implements BackendProvider {
    /** Makes the provider. */
    public OneDnnProvider() {}

    @Override
    public String name() {
        return "onednn";
    }

    @Override
    public int spiVersion() {
        return Spi.VERSION;
    }

    @Override
    public String description() {
        return "FP32 products by oneDNN, as a base line of benchmarks";
    }

    @Override
    public Availability availability() {
        return OneDnn.missing().map(Availability::no).orElseGet(() -> Availability.yes("oneDNN through FFM"));
    }

    @Override
    public int preference() {
        return -1;
    }

    @Override
    public Backend open(BackendOptions options) {
        OneDnn.missing().ifPresent(reason -> {
            throw new NotAvailableException("backend onednn is not available: " + reason);
        });
        int threads = options.threads() == 0 ? Runtime.getRuntime().availableProcessors() : options.threads();
        HostRuntime runtime = new HostRuntime(options.seed(), options.strict());
        HostBackend.Operations operations = new HostBackend.Operations(
                new ReferenceQuantize(runtime),
                new OneDnnGemm(runtime, OneDnn.load(threads)),
                new ReferenceNeural(runtime),
                new ReferenceConvolution(runtime, Tasks.IN_ORDER),
                new ReferenceCodec(),
                new ReferenceOptimizer(runtime),
                () -> {});
        return new HostBackend(name(), "oneDNN, " + threads + " threads", runtime, operations);
    }
}
