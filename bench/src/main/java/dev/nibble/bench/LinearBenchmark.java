package dev.nibble.bench;

import dev.nibble.models.layers.Parameter;
import dev.nibble.models.layers.QuantizedLinear;
import dev.nibble.spi.Backend;
import dev.nibble.spi.BackendOptions;
import dev.nibble.spi.Control;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.OptionValues;
import dev.nibble.spi.Plugins;
import dev.nibble.spi.QuantizerProvider;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/**
 * A linear layer of 1024 tokens forward and backward, X, W and dY quantized each time: {@code 6 · 1024 · size²} operations of
 * its products a call.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MILLISECONDS)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
@Fork(1)
public class LinearBenchmark {
    private static final int TOKENS = 1024;
    private static final int FRESH_STEPS = 3;

    /** The quantizer, with its default options. */
    @Param({"fp32", "int8-row", "int8-block", "int8-fallback", "fp8", "luq", "int4"})
    public String quantizerName;

    /** Features of the input and of the output. */
    @Param({"512", "1024", "2048"})
    public int size;

    /** Threads of the backend. */
    @Param({"1", "2"})
    public int threads;

    /** The backend's name. */
    @Param("cpu")
    public String backendName;

    private Backend backend;
    private Parameter weight;
    private QuantizedLinear layer;
    private Tensor x; // [TOKENS, size]
    private Tensor gradOutput; // [TOKENS, size]
    private int step;

    /** Makes the benchmark. */
    public LinearBenchmark() {}

    /** Makes the layer and trains it until its plan is the usual one. */
    @Setup(Level.Trial)
    public void open() {
        backend = Plugins.openBackend(backendName, new BackendOptions(1, threads, false));
        LinearLayer shape = new LinearLayer(new Site("benchmark", 0), size, size);
        QuantizerProvider provider = Plugins.quantizers().get(quantizerName);
        OptionValues options = OptionValues.of(quantizerName, provider.options(), Map.of());
        weight = Parameter.create(backend, "weight", Shape.of(size, size), true, normal(size, 7));
        layer = new QuantizedLinear(backend, shape, provider.create(options).linear(shape), weight);
        x = tensor(11);
        gradOutput = tensor(13);
        Tensor control = backend.allocate("control", DType.FP32, Shape.of(Control.count()), MemoryTag.STATE);
        for (int i = 0; i < FRESH_STEPS; i++) {
            bothPasses();
            try (StepScope scope = backend.beginStep(StepContext.train(step, 1e-3f))) {
                backend.optimizer().control(scope, List.of(weight.gradient()), 1, control);
                layer.afterOptimizer(scope, control);
            }
            layer.markTrained();
        }
    }

    private Tensor tensor(long seed) {
        Tensor tensor = backend.allocate("x", DType.FP32, Shape.of(TOKENS, size), MemoryTag.SCRATCH);
        backend.write(tensor, normal(TOKENS, seed));
        return tensor;
    }

    private float[] normal(int rows, long seed) {
        SplittableRandom random = new SplittableRandom(seed);
        float[] values = new float[Math.multiplyExact(rows, size)]; // [rows, size]
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return values;
    }

    /** Runs both passes. */
    @Benchmark
    public int bothPasses() {
        try (StepScope scope = backend.beginStep(StepContext.train(step, 1e-3f))) {
            layer.releaseWeight();
            layer.forward(scope, x).close();
            layer.backward(scope, gradOutput, _ -> x.share()).close();
        }
        return step++;
    }

    /** Frees everything. */
    @TearDown(Level.Trial)
    public void close() {
        layer.close();
        weight.close();
        backend.close();
    }
}
