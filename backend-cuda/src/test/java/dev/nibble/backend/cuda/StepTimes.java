package dev.nibble.backend.cuda;

import dev.nibble.backend.cuda.TrainingStep.Size;
import dev.nibble.models.layers.LogitChunks;
import dev.nibble.models.memory.ShapeBackend;
import dev.nibble.spi.BackendOptions;
import dev.nibble.spi.MemoryLayout;
import dev.nibble.spi.MemoryUse;
import dev.nibble.tensor.DType;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** Times training steps, and the kernels that they consist of. */
final class StepTimes {
    private static final System.Logger LOG = System.getLogger("nibble.times");
    private static final int WARM_UP = 4; // fresh plans, then graphs
    private static final int REPEATS = 3;
    private static final int SHAPE_STEPS = 2; // the first, and one that finds what it left
    private static final double NANOS = 1e-6; // milliseconds

    /** The models. */
    static final List<Size> SIZES = List.of(
            new Size("124M", 12, 768, 12, 2048, 50304, 16, 1024),
            new Size("1.0B", 16, 2048, 16, 5632, 50304, 8, 1024),
            new Size("2.4B-wide", 8, 4096, 32, 14336, 50304, 4, 2048));

    /**
     * What was measured.
     *
     * @param millis of a step
     * @param predictedBytes the peak, from shapes alone
     * @param peakBytes the largest sum of live tensors
     * @param heldBytes taken from the device
     * @param loss of the last step
     * @param kernels the kernels of one more step, not from graphs
     */
    record Result(
            Size size,
            String quantizer,
            double millis,
            long predictedBytes,
            long peakBytes,
            long heldBytes,
            float loss,
            Map<String, KernelTimes.Time> kernels) {}

    private StepTimes() {}

    private static CudaBackend open(String quantizer) {
        DType attention = quantizer.equals("fp32") ? DType.FP32 : DType.BF16;
        return (CudaBackend) new CudaBackendProvider().open(new BackendOptions(0, 0, false, attention));
    }

    /** {@return the most bytes of tensors in a step, without what operations work in} */
    static long predicted(Size size, String quantizer, LogitChunks chunks, MemoryLayout layout) {
        ShapeBackend shapes = new ShapeBackend(layout);
        try (TrainingStep step = new TrainingStep(shapes, size, quantizer, chunks)) {
            for (int i = 0; i < SHAPE_STEPS; i++) {
                step.run();
            }
            return shapes.memory().peakBytes();
        }
    }

    static Result measure(Size size, String quantizer) {
        return measure(size, quantizer, LogitChunks.DEFAULT);
    }

    private static Result measure(Size size, String quantizer, LogitChunks chunks) {
        try (CudaBackend backend = open(quantizer);
                TrainingStep step = new TrainingStep(backend, size, quantizer, chunks)) {
            for (int i = 0; i < WARM_UP; i++) {
                step.run();
                step.loss();
            }
            double[] millis = new double[REPEATS]; // [REPEATS]
            for (int i = 0; i < REPEATS; i++) {
                long begin = System.nanoTime();
                step.run();
                step.run();
                step.loss();
                millis[i] = (System.nanoTime() - begin) * NANOS / 2;
            }
            Arrays.sort(millis);
            MemoryUse memory = backend.memory();
            long predicted = predicted(size, quantizer, chunks, backend.memoryLayout());
            float loss = step.loss();
            try (KernelTimes times = new KernelTimes(backend.runtime().stream())) {
                step.run();
                return new Result(
                        size,
                        quantizer,
                        millis[REPEATS / 2],
                        predicted,
                        memory.peakBytes(),
                        memory.heldBytes(),
                        loss,
                        times.take());
            }
        }
    }

    /** Prints a table for each SIZE/QUANTIZER, or SIZE/QUANTIZER/LOGITS, given: how many logits may exist at once. */
    public static void main(String[] args) {
        for (String arg : args) {
            String[] parts = arg.split("/", 3);
            Size size = SIZES.stream()
                    .filter(s -> s.name().equals(parts[0]))
                    .findFirst()
                    .orElseThrow();
            LogitChunks chunks = parts.length < 3 ? LogitChunks.DEFAULT : new LogitChunks(Integer.parseInt(parts[2]));
            try {
                print(arg, measure(size, parts[1], chunks));
            } catch (RuntimeException e) {
                LOG.log(System.Logger.Level.ERROR, arg, e);
            }
        }
    }

    private static void print(String what, Result result) {
        LOG.log(
                System.Logger.Level.INFO,
                () -> String.format(
                        Locale.ROOT,
                        "STEP %s: %.1f ms, %.0f tokens/s, %.0f TFLOPS, %.2f GiB (predicted %.2f), loss %.4f",
                        what,
                        result.millis(),
                        result.size().tokens() / result.millis() * 1e3,
                        result.size().operations() / result.millis() / 1e9,
                        result.peakBytes() / (double) (1 << 30),
                        result.predictedBytes() / (double) (1 << 30),
                        result.loss()));
        result.kernels().entrySet().stream()
                .sorted((a, b) ->
                        Double.compare(b.getValue().millis(), a.getValue().millis()))
                .forEach(entry -> LOG.log(
                        System.Logger.Level.INFO,
                        () -> String.format(
                                Locale.ROOT,
                                "  %8.3f ms %5d  %s",
                                entry.getValue().millis(),
                                entry.getValue().launches(),
                                entry.getKey())));
    }
}
