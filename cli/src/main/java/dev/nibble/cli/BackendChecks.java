package dev.nibble.cli;

import dev.nibble.error.NotAvailableException;
import dev.nibble.gemm.Product;
import dev.nibble.report.ExecutionRow;
import dev.nibble.spi.Availability;
import dev.nibble.spi.Backend;
import dev.nibble.spi.BackendChoice;
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
    private static final int RATE_EXTENT = 512;
    private static final long SHORTEST_NANOS = 400_000_000L; // for each format
    private static final long LONGEST_NANOS = 8_000_000_000L; // for one that C2 may not have compiled yet
    private static final double LOWEST_RATE = 3; // operations a nanosecond; vectors of 128 bits reach twenty
    private static final List<BenchProduct.Format> RATED = List.of(
            BenchProduct.Format.FP32,
            BenchProduct.Format.BF16,
            BenchProduct.Format.INT8_BLOCK,
            BenchProduct.Format.INT4,
            BenchProduct.Format.FP8);

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
        checks.add(choice());
        List<String> problems = new ArrayList<>(backends.problems());
        problems.addAll(quantizers.problems());
        problems.forEach(problem -> checks.add(new Check("plug-in", Check.Status.WARN, problem, false)));
        checks.addAll(formats(quantizers));
        checks.add(rates());
        return checks;
    }

    /** What {@code --backend auto} takes here, and why. */
    private static Check choice() {
        try {
            BackendChoice choice = BackendChoice.of(BackendChoice.AUTO);
            String detail = "takes " + choice.provider().name() + ": " + choice.reason();
            return new Check("backend auto", Check.Status.OK, detail, false);
        } catch (NotAvailableException e) {
            return new Check("backend auto", Check.Status.FAIL, e.getMessage(), true);
        }
    }

    /** A product of each kind, long enough to be compiled: a kernel that is far too slow shows here. */
    private static Check rates() {
        List<String> rates = new ArrayList<>();
        boolean slow = false;
        try (Backend backend = Plugins.openBackend("auto", BackendOptions.withSeed(0))) {
            for (BenchProduct.Format format : RATED) {
                double rate = rate(backend, format);
                rates.add(format.label() + " " + Figures.significant(rate));
                slow |= rate < LOWEST_RATE;
            }
            String detail = "GOP/s of a product of " + RATE_EXTENT + " on backend " + backend.name() + ": "
                    + String.join(", ", rates);
            return new Check(
                    "rates",
                    slow ? Check.Status.WARN : Check.Status.OK,
                    slow
                            ? detail
                                    + "; the slow ones should reach ten times as much: start again, or close other programs"
                            : detail,
                    false);
        } catch (RuntimeException | LinkageError e) {
            // the other lines are worth seeing then
            return new Check("rates", Check.Status.WARN, Failure.of(e).message(), false);
        }
    }

    private static double rate(Backend backend, BenchProduct.Format format) {
        try (BenchProduct product = new BenchProduct(backend, format, RATE_EXTENT)) {
            double operations = 2.0 * RATE_EXTENT * RATE_EXTENT * RATE_EXTENT;
            double best = 0;
            long begin = System.nanoTime();
            for (long start = begin; goesOn(start - begin, best); start = System.nanoTime()) {
                product.run();
                best = Math.max(best, operations / Math.max(1, System.nanoTime() - start));
            }
            return best;
        }
    }

    private static boolean goesOn(long nanos, double best) {
        return nanos < SHORTEST_NANOS || (best < LOWEST_RATE && nanos < LONGEST_NANOS);
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
