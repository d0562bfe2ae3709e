package dev.nibble.bench;

import dev.nibble.gemm.Epilogue;
import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Product;
import dev.nibble.gemm.Term;
import dev.nibble.quant.Contraction;
import dev.nibble.quant.Granularity;
import dev.nibble.quant.OperandSpec;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.quant.ScaleRule;
import dev.nibble.quant.SplitMode;
import dev.nibble.quant.Threshold;
import dev.nibble.spi.Backend;
import dev.nibble.spi.BackendOptions;
import dev.nibble.spi.DeviceState;
import dev.nibble.spi.Operand;
import dev.nibble.spi.Plugins;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Role;
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
 * One square product {@code D[n,n] = A[n,n] · B[n,n]ᵀ} from stored codes, packing included, quantizing not:
 * {@code 2·n³} operations a call.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MILLISECONDS)
@Warmup(iterations = 3, time = 1)
@Measurement(iterations = 5, time = 1)
@Fork(1)
public class GemmBenchmark {
    private static final Site SITE = new Site("benchmark", 0);

    /** How the operands are stored. */
    @Param({"fp32", "bf16", "int8-block", "int8-row", "int8-fallback", "int4", "int4-digits", "luq", "fp8"})
    public String format;

    /** Rows, columns and length of the contraction. */
    @Param({"512", "1024", "2048"})
    public int size;

    /** Threads of the backend. */
    @Param({"1", "2"})
    public int threads;

    /** The backend's name; {@code onednn} knows fp32 alone. */
    @Param("cpu")
    public String backendName;

    private Backend backend;
    private StepScope scope;
    private Operand a;
    private Operand b;
    private Tensor d; // [size, size]
    private GemmSpec spec;

    /** Makes the benchmark. */
    public GemmBenchmark() {}

    /** Draws and quantizes the operands. */
    @Setup(Level.Trial)
    public void open() {
        backend = Plugins.openBackend(backendName, new BackendOptions(1, threads, false));
        scope = backend.beginStep(StepContext.train(0, 0f));
        a = operand(Role.INPUT, 11);
        b = operand(Role.WEIGHT, 13);
        List<Term> terms =
                planes(Role.INPUT).size() == 1 ? List.of(new Term(0, 0)) : List.of(new Term(0, 0), new Term(1, 0));
        spec = new GemmSpec(Product.OUTPUT, terms, Epilogue.STORE);
        d = scope.allocate("d", DType.FP32, Shape.of(size, size));
    }

    private Operand operand(Role role, long seed) {
        SplittableRandom random = new SplittableRandom(seed);
        float[] values = new float[Math.multiplyExact(size, size)]; // [size, size]
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) random.nextGaussian();
        }
        Tensor x = backend.allocate("x", DType.FP32, Shape.of(size, size), MemoryTag.SCRATCH);
        backend.write(x, values);
        OperandSpec spec = new OperandSpec(Contraction.COLUMNS, planes(role));
        return backend.quantization()
                .quantize(scope, new QuantizeSpec(role, List.of(spec)), SITE, x, new DeviceState(Map.of()))
                .operand(Contraction.COLUMNS);
    }

    /** {@return planes of A; B has the first format that is not a residual or a digit} */
    private List<PlaneSpec> planes(Role role) {
        PlaneSpec block = int8(new Granularity.PerBlock(128, 128));
        Granularity tensor = new Granularity.PerTensor();
        PlaneSpec int4 = PlaneSpec.value(DType.INT4, tensor, new ScaleRule.AmaxOverTop(), Rounding.NEAREST_EVEN);
        boolean left = role == Role.INPUT;
        return switch (format) {
            case "fp32" -> List.of(PlaneSpec.unscaled(DType.FP32));
            case "bf16" -> List.of(PlaneSpec.unscaled(DType.BF16));
            case "int8-block" -> List.of(block);
            case "int8-row" -> List.of(int8(new Granularity.PerRow()));
            case "int8-fallback" ->
                left ? List.of(block, PlaneSpec.residual(block, new Threshold.ExactQuantile(0.8))) : List.of(block);
            case "int4" -> List.of(int4);
            case "int4-digits" -> left ? PlaneSpec.digits(SplitMode.UNBIASED) : List.of(int4);
            case "luq" ->
                left
                        ? List.of(PlaneSpec.value(
                                DType.E3M0, tensor, new ScaleRule.AmaxOverPower(6, false), Rounding.STOCHASTIC))
                        : List.of(int4);
            case "fp8" ->
                List.of(PlaneSpec.value(DType.E4M3, tensor, new ScaleRule.TopOverAmax(false), Rounding.NEAREST_EVEN));
            default ->
                throw new IllegalArgumentException(
                        "format is '" + format
                                + "', but must be fp32, bf16, int8-block, int8-row, int8-fallback, int4, int4-digits, luq or fp8");
        };
    }

    private static PlaneSpec int8(Granularity granularity) {
        return PlaneSpec.value(DType.INT8, granularity, new ScaleRule.AmaxOverTop(), Rounding.NEAREST_EVEN);
    }

    /** Multiplies. */
    @Benchmark
    public Tensor multiply() {
        backend.gemm().multiply(scope, spec, SITE, a, b, d);
        return d;
    }

    /** Frees everything. */
    @TearDown(Level.Trial)
    public void close() {
        scope.close();
        backend.close();
    }
}
