package dev.nibble.bench;

import dev.nibble.quant.QuantizeSpec;
import dev.nibble.spi.Backend;
import dev.nibble.spi.BackendOptions;
import dev.nibble.spi.DeviceState;
import dev.nibble.spi.Plugins;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.lang.management.ManagementFactory;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;
import java.util.SplittableRandom;

/**
 * The rate of each quantize kernel on one thread, in bytes of FP32 input a second, and its share of the rate of a plain array
 * copy, whose bytes are counted the same way. Calls and copies alternate, and the share is the median of the quotients of
 * neighbours: what else the machine does slows both. Hence no JMH.
 *
 * <p>Arguments: {@code [rows cols [kernel...]]}; without any, 2048 x 1024 and 4096 x 4096, all kernels.
 */
public final class QuantizeBenchmark {
    private static final Site SITE = new Site("benchmark", 0);
    private static final int FEWEST_ROUNDS = 30;
    private static final int MOST_ROUNDS = 1000;
    private static final long WARM_UP_NANOS = 2_000_000_000L;
    private static final long MEASURE_NANOS = 3_000_000_000L;
    private static final double NANOS = 1e9;
    private static final double GIGA = 1e9;

    private final Backend backend;
    private final DeviceState state;
    private final float[] source; // [rows, cols]
    private final float[] target; // [rows, cols]
    private final Tensor x; // [rows, cols]

    private QuantizeBenchmark(Backend backend, int rows, int cols) {
        this.backend = backend;
        SplittableRandom random = new SplittableRandom(11);
        source = new float[Math.multiplyExact(rows, cols)];
        target = new float[source.length];
        for (int i = 0; i < source.length; i++) {
            source[i] = (float) random.nextGaussian();
        }
        x = tensor(Shape.of(rows, cols), source);
        Map<String, Tensor> vectors = new HashMap<>();
        QuantizeKernel.STATE.forEach((name, value) -> vectors.put(name, tensor(Shape.of(1), value)));
        state = new DeviceState(vectors);
    }

    private Tensor tensor(Shape shape, float... values) {
        Tensor tensor = backend.allocate("benchmark", DType.FP32, shape, MemoryTag.SCRATCH);
        backend.write(tensor, values);
        return tensor;
    }

    /** Runs it. */
    public static void main(String[] args) {
        if (args.length >= 2) {
            table(Integer.parseInt(args[0]), Integer.parseInt(args[1]), Arrays.copyOfRange(args, 2, args.length));
        } else {
            table(2048, 1024);
            table(4096, 4096);
        }
    }

    private static void table(int rows, int cols, String... names) {
        try (Backend backend = Plugins.openBackend("cpu", new BackendOptions(1, 1, false))) {
            var benchmark = new QuantizeBenchmark(backend, rows, cols);
            System.out.printf(Locale.ROOT, "%n%d x %d, %s%n%n", rows, cols, backend.description());
            System.out.printf(
                    Locale.ROOT,
                    "| kernel | GB/s | copy, GB/s | share of copy | quartiles | floor |%n|---|---|---|---|---|---|%n");
            for (QuantizeKernel kernel : QuantizeKernel.all()) {
                if (names.length == 0 || Arrays.asList(names).contains(kernel.name())) {
                    benchmark.measure(kernel);
                }
            }
        }
    }

    private void measure(QuantizeKernel kernel) {
        long warm = System.nanoTime() + WARM_UP_NANOS;
        while (System.nanoTime() < warm) {
            quantize(kernel.spec());
        }
        double[] copies = new double[MOST_ROUNDS]; // seconds
        double[] calls = new double[MOST_ROUNDS]; // seconds
        double[] shares = new double[MOST_ROUNDS];
        long end = System.nanoTime() + MEASURE_NANOS;
        int rounds = 0;
        while (rounds < FEWEST_ROUNDS || (rounds < MOST_ROUNDS && System.nanoTime() < end)) {
            copies[rounds] = copy();
            calls[rounds] = quantize(kernel.spec());
            shares[rounds] = copies[rounds] / calls[rounds];
            rounds++;
        }
        double gigabytes = (double) source.length * Float.BYTES / GIGA;
        System.out.printf(
                Locale.ROOT,
                "| %s | %.2f | %.2f | %.2f | %.2f - %.2f | %.2f |%n",
                kernel.name(),
                gigabytes / quantile(calls, rounds, 2),
                gigabytes / quantile(copies, rounds, 2),
                quantile(shares, rounds, 2),
                quantile(shares, rounds, 1),
                quantile(shares, rounds, 3),
                kernel.floor());
    }

    /** {@return seconds} */
    private double copy() {
        long start = threadNanos();
        System.arraycopy(source, 0, target, 0, source.length);
        return (threadNanos() - start) / NANOS;
    }

    /** {@return seconds} */
    private double quantize(QuantizeSpec spec) {
        try (StepScope scope = backend.beginStep(StepContext.train(0, 0f))) {
            long start = threadNanos();
            backend.quantization().quantize(scope, spec, SITE, x, state).close();
            return (threadNanos() - start) / NANOS;
        }
    }

    /** {@return what this thread has spent on a processor: what other programs take does not count} */
    private static long threadNanos() {
        return ManagementFactory.getThreadMXBean().getCurrentThreadCpuTime();
    }

    private static double quantile(double[] values, int count, int quarter) {
        double[] sorted = Arrays.copyOf(values, count);
        Arrays.sort(sorted);
        return sorted[Math.min(count - 1, count * quarter / 4)];
    }
}
