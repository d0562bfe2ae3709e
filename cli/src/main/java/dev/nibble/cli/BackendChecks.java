package dev.nibble.cli;

import dev.nibble.gemm.Product;
import dev.nibble.report.ExecutionRow;
import dev.nibble.spi.Availability;
import dev.nibble.spi.Backend;
import dev.nibble.spi.BackendOptions;
import dev.nibble.spi.BackendProvider;
import dev.nibble.spi.OptionValues;
import dev.nibble.spi.Plugins;
import dev.nibble.spi.Quantizer;
import dev.nibble.spi.QuantizerProvider;
import dev.nibble.tensor.Shape;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** Checks of what is on the path: each backend, and a small product in each quantizer on the best of them. */
final class BackendChecks {
    private static final String BASE_LINE = "fp32";
    private static final int EXTENT = 256; // two blocks of the usual 128 in each direction

    private BackendChecks() {}

    /** {@return all checks} */
    static List<Check> all() {
        Plugins<BackendProvider> backends = Plugins.backends();
        Plugins<QuantizerProvider> quantizers = Plugins.quantizers();
        List<Check> checks = new ArrayList<>();
        for (BackendProvider provider : backends.all()) {
            Availability availability = provider.availability();
            checks.add(new Check(
                    "backend " + provider.name(),
                    availability.available() ? Check.Status.OK : Check.Status.WARN,
                    (availability.available() ? "available: " : "not available: ") + availability.reason(),
                    false));
        }
        List<String> problems = new ArrayList<>(backends.problems());
        problems.addAll(quantizers.problems());
        problems.forEach(problem -> checks.add(new Check("plug-in", Check.Status.WARN, problem, false)));
        checks.addAll(formats(quantizers));
        return checks;
    }

    private static List<Check> formats(Plugins<QuantizerProvider> quantizers) {
        List<Check> checks = new ArrayList<>();
        NpyArray matrix = testMatrix();
        for (QuantizerProvider provider : quantizers.all()) {
            boolean required = provider.name().equals(BASE_LINE);
            try (Backend backend = Plugins.openBackend("auto", BackendOptions.withSeed(0))) {
                checks.add(format(backend, provider, matrix, required));
            } catch (RuntimeException | LinkageError e) {
                // a plug-in may fail in any way, and the other lines are worth seeing then
                checks.add(new Check(
                        "quantizer " + provider.name(),
                        Check.Status.FAIL,
                        Failure.of(e).message(),
                        required));
            }
        }
        if (!quantizers.names().contains(BASE_LINE)) {
            checks.add(new Check("quantizer " + BASE_LINE, Check.Status.FAIL, "is not on the path", true));
        }
        return checks;
    }

    private static Check format(Backend backend, QuantizerProvider provider, NpyArray matrix, boolean required) {
        Quantizer quantizer = provider.create(OptionValues.of(provider.name(), provider.options(), Map.of()));
        try (ProductProbe probe = new ProductProbe(backend, quantizer, Product.OUTPUT, matrix, matrix)) {
            double error = ProductError.of(probe.exact(), probe.draw(0)).relative();
            ExecutionRow row = probe.executionRow();
            String detail = "%s on backend %s: kernel %s, %s, relative error %s"
                    .formatted(
                            row.storedFormat(),
                            backend.name(),
                            row.kernel(),
                            row.computeType(),
                            Figures.significant(error));
            boolean asAsked = !row.differs();
            return new Check(
                    "quantizer " + provider.name(),
                    asAsked ? Check.Status.OK : Check.Status.WARN,
                    asAsked ? detail : detail + "; asked for " + row.requestedFormat() + " (" + row.reason() + ")",
                    required);
        }
    }

    /** A matrix without pattern, values in (-1, 1), the same on every machine. */
    private static NpyArray testMatrix() {
        float[] values = new float[EXTENT * EXTENT]; // [EXTENT, EXTENT]
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) Math.sin(1.0 + i * 0.618 + (double) i * i * 0.001);
        }
        return new NpyArray(Shape.of(EXTENT, EXTENT), values);
    }
}
