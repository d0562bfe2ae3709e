package dev.nibble.backend.cuda;

import dev.nibble.backend.cuda.TrainingStep.Size;
import dev.nibble.models.files.JsonTree;
import dev.nibble.spi.AttentionShape;
import java.io.IOException;
import java.io.Reader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDate;
import java.time.ZoneOffset;
import java.util.List;
import java.util.Locale;
import java.util.Properties;

/**
 * The part {@code benchmarks} of bench/gpu/run.sh: products, attention and training steps, each beside PyTorch's of the same run, as
 * {@code benchmarks.md} and {@code benchmarks.json}. Fails if a figure misses its floor.
 */
final class Benchmarks {
    private static final System.Logger LOG = System.getLogger("nibble.benchmarks");
    private static final double TERA = 1e9; // operations a millisecond
    private static final String BF16 = "bf16"; // PyTorch's step with parameters, gradients and moments in it
    private static final String MIXED = "mixed"; // the same with FP32 ones under autocast
    private static final double BACKWARD = 2.5; // operations of attention's gradient, of those of its forward pass

    /** A product with its floor, of PyTorch's rate in BF16; 0: none. */
    private record ProductCase(String quantizer, long m, long n, long k, double floor) {
        String torch() {
            return "gemm." + m + '.' + n + '.' + k;
        }
    }

    private static final List<ProductCase> PRODUCTS = List.of(
            new ProductCase("int8-row", 8192, 8192, 8192, 1.4),
            new ProductCase("int8-row", 4096, 4096, 4096, 0),
            new ProductCase("int8-row", 8192, 2048, 2048, 1.3),
            new ProductCase("int8-row", 8192, 4096, 14336, 0),
            new ProductCase("int8-row", 16384, 3072, 768, 0),
            new ProductCase("int8-block", 8192, 8192, 8192, 0.55),
            new ProductCase("int8-block", 8192, 2048, 2048, 0),
            new ProductCase("int8-block", 8192, 4096, 14336, 0),
            new ProductCase("fp8", 8192, 8192, 8192, 0),
            new ProductCase("bf16", 8192, 8192, 8192, 0.5),
            new ProductCase("bf16", 8192, 2048, 2048, 0),
            new ProductCase("bf16", 16384, 3072, 768, 0));

    /** Attention with floors in TFLOPS; 0: none. */
    private record AttentionCase(AttentionShape shape, double forward, double backward) {}

    private static final List<AttentionCase> ATTENTION = List.of(
            new AttentionCase(new AttentionShape(8, 2048, 16, 64, true), 150, 90),
            new AttentionCase(new AttentionShape(16, 1024, 12, 64, true), 0, 0),
            new AttentionCase(new AttentionShape(8, 2048, 16, 128, true), 0, 0));

    /** A training step with its floors, of PyTorch's rate, for each size; 0: none. */
    private record StepCase(String quantizer, List<Double> floors) {}

    private static final List<StepCase> STEPS = List.of(
            new StepCase("int8-row", List.of(0.4, 0.55, 0.65)),
            new StepCase("int8-fallback", List.of(0.3, 0.4, 0.45)),
            new StepCase("bf16", List.of(0.0, 0.0)),
            new StepCase("fp8", List.of(0.0, 0.0)),
            new StepCase("luq", List.of(0.0)),
            new StepCase("int4", List.of(0.0)),
            new StepCase("fp32", List.of(0.0)));

    private final Properties torch = new Properties();
    private final BenchmarkTable table = new BenchmarkTable();
    private final Path out;
    private final long deadline; // of the figures without floors; nanoseconds

    private Benchmarks(Path out, long seconds) throws IOException {
        this.out = out;
        this.deadline = System.nanoTime() + seconds * 1_000_000_000L;
        Path file = out.resolve("torch.txt");
        if (Files.isReadable(file)) {
            try (Reader in = Files.newBufferedReader(file)) {
                torch.load(in);
            }
        }
        Path quantize = out.resolve("quantize.txt");
        if (Files.isReadable(quantize)) {
            table.quantize(Files.readString(quantize));
        }
    }

    /**
     * Arguments: folder of the results, where torch.txt and quantize.txt are already if they could be made; hash of the kernels'
     * sources; the device in words; seconds after which nothing is begun that has no floor.
     */
    public static void main(String[] args) throws IOException {
        Benchmarks benchmarks = new Benchmarks(Path.of(args[0]), Long.parseLong(args[3]));
        benchmarks.heading(args[1], args[2]);
        benchmarks.torchSteps();
        benchmarks.steps(true);
        benchmarks.products();
        benchmarks.steps(false);
        List<String> missed = benchmarks.table.missed();
        if (!missed.isEmpty()) {
            LOG.log(System.Logger.Level.ERROR, "floors were missed: {0}", String.join("; ", missed));
            System.exit(1);
        }
    }

    private void heading(String hash, String device) {
        table.fact("device", device);
        table.fact("date", LocalDate.now(ZoneOffset.UTC).toString());
        table.fact("java", System.getProperty("java.runtime.version"));
        table.fact(
                "pytorch",
                torch.isEmpty()
                        ? "not there, so no ratios"
                        : torch.getProperty("torch") + ", CUDA " + torch.getProperty("cuda"));
        table.fact(BenchmarkTable.HASH, hash);
    }

    private double torch(String name) {
        return Double.parseDouble(torch.getProperty(name, "NaN"));
    }

    private BenchmarkTable.TorchStep torchStep(Size size, String parameters) {
        String name = size.name() + '.' + parameters;
        return new BenchmarkTable.TorchStep(
                size.name(),
                parameters,
                torch("step." + name),
                torch("graph." + name),
                torch.getProperty("uncaptured." + name, ""));
    }

    private void torchSteps() {
        for (String parameters : List.of(BF16, MIXED)) {
            for (Size size : StepTimes.SIZES) {
                BenchmarkTable.TorchStep step = torchStep(size, parameters);
                if (!Double.isNaN(step.millis())) {
                    table.torch(step);
                }
            }
        }
    }

    /** Measures something, notes if it fails, and writes what there is so far. */
    private void attempt(String what, Runnable measurement) throws IOException {
        try {
            measurement.run();
        } catch (RuntimeException e) {
            LOG.log(System.Logger.Level.ERROR, what, e);
            table.failed(what + " failed: " + e.getMessage());
        }
        Files.writeString(out.resolve("benchmarks.md"), table.markdown());
        Files.writeString(out.resolve("benchmarks.json"), JsonTree.text(table.tree()));
    }

    private void products() throws IOException {
        attempt("products", this::measureProducts);
    }

    private void measureProducts() {
        try (ProductTimes times = new ProductTimes()) {
            for (ProductCase c : PRODUCTS) {
                double millis = times.product(c.quantizer(), c.m(), c.n(), c.k());
                double operations = 2.0 * c.m() * c.n() * c.k();
                table.product(new BenchmarkTable.Row(
                        c.quantizer(),
                        "%d x %d x %d".formatted(c.m(), c.n(), c.k()),
                        millis,
                        operations / millis / TERA,
                        torch(c.torch()) / millis,
                        c.floor()));
            }
            for (AttentionCase c : ATTENTION) {
                attention(c, times.attention(c.shape()));
            }
        }
    }

    private void attention(AttentionCase c, ProductTimes.Attention times) {
        AttentionShape s = c.shape();
        double operations = 2.0 * s.tokens() * s.sequence() * s.width(); // half of the pairs, two products
        String shape = "%d x %d, %d heads of %d, causal".formatted(s.batch(), s.sequence(), s.heads(), s.headSize());
        double forward = operations / times.forward() / TERA;
        double backward = BACKWARD * operations / times.backward() / TERA;
        table.attention(new BenchmarkTable.Row("forward", shape, times.forward(), forward, Double.NaN, c.forward()));
        table.attention(
                new BenchmarkTable.Row("backward", shape, times.backward(), backward, Double.NaN, c.backward()));
    }

    private void steps(boolean withFloors) throws IOException {
        for (int i = 0; i < StepTimes.SIZES.size(); i++) {
            Size size = StepTimes.SIZES.get(i);
            for (StepCase c : STEPS) {
                double floor = i < c.floors().size() ? c.floors().get(i) : Double.NaN;
                boolean wanted = withFloors ? floor > 0 : floor == 0 && System.nanoTime() < deadline;
                if (wanted) {
                    attempt("step " + size.name() + ' ' + c.quantizer(), () -> step(size, c.quantizer(), floor));
                }
            }
        }
    }

    private void step(Size size, String quantizer, double floor) {
        StepTimes.Result result = StepTimes.measure(size, quantizer);
        table.step(
                result, torchStep(size, BF16).millis(), torchStep(size, MIXED).millis(), floor);
    }

    /** {@return a number for a table, or a dash} */
    static String shown(double value, String format) {
        return Double.isNaN(value) ? "-" : String.format(Locale.ROOT, format, value);
    }
}
