package dev.nibble.testkit.control;

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
import dev.nibble.spi.GemmBackend;
import dev.nibble.spi.QuantizeOps;
import dev.nibble.spi.Spi;
import java.util.function.BiFunction;
import java.util.function.UnaryOperator;

/**
 * The plain code with one of its parts replaced.
 *
 * @param name of the backend
 * @param description what is wrong with it
 * @param quantization replaces the quantization, given that of the plain code
 * @param gemm replaces the products, given those of the plain code
 * @param whole replaces the backend, given the one of these parts
 */
record FaultyBackend(
        String name,
        String description,
        BiFunction<HostRuntime, QuantizeOps, QuantizeOps> quantization,
        BiFunction<HostRuntime, GemmBackend, GemmBackend> gemm,
        UnaryOperator<Backend> whole)
        implements BackendProvider {
    @Override
    public int spiVersion() {
        return Spi.VERSION;
    }

    @Override
    public Availability availability() {
        return Availability.yes("always available");
    }

    @Override
    public int preference() {
        return -1;
    }

    @Override
    public Backend open(BackendOptions options) {
        HostRuntime runtime = new HostRuntime(options.seed(), options.strict());
        HostBackend.Operations operations = new HostBackend.Operations(
                quantization.apply(runtime, new ReferenceQuantize(runtime)),
                gemm.apply(runtime, new ReferenceGemm(runtime)),
                new ReferenceNeural(runtime),
                new ReferenceConvolution(runtime, Tasks.IN_ORDER),
                new ReferenceCodec(),
                new ReferenceOptimizer(runtime),
                () -> {});
        return whole.apply(new HostBackend(name, description, runtime, operations));
    }
}
