package dev.nibble.backend.cuda;

import dev.nibble.quant.Granularity;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.quant.ScaleRule;
import dev.nibble.quant.SplitMode;
import dev.nibble.quant.Threshold;
import dev.nibble.quant.Transform;
import dev.nibble.spi.DeviceState;
import dev.nibble.spi.Quantized;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.state.StateVector;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Role;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import dev.nibble.testkit.data.SpecTable;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.SplittableRandom;
import jcuda.driver.CUdeviceptr;
import jcuda.driver.CUevent;
import jcuda.driver.CUgraph;
import jcuda.driver.CUgraphExec;
import jcuda.driver.CUstream;
import jcuda.driver.CUstreamCaptureMode;
import jcuda.driver.JCudaDriver;

/**
 * Times quantization with both orientations against a device copy of the same run: from a recorded graph over rotated inputs that
 * together exceed the second-level cache. Bytes are those of the FP32 input and of the codes; a copy's are those read and written.
 */
final class QuantizeTimes {
    private static final Site SITE = new Site("blocks.1.mlp.down", 7);
    private static final int INPUTS = 4;
    private static final int REPLAYS = 12;
    private static final double GIGA = 1e9;
    private static final double NEAREST_FLOOR = 0.5;
    private static final double STOCHASTIC_FLOOR = 0.35;
    private static final List<String> SHAPES = List.of("8192x4096", "16384x1024");
    private static final int SOME = 1 << 20;
    private static final int LINE = 1024;
    private static final float THRESHOLD = 4.3f;

    private final CudaBackend backend;
    private final CUstream stream;
    private final boolean once;

    private QuantizeTimes(CudaBackend backend, boolean once) {
        this.backend = backend;
        this.once = once;
        this.stream = backend.runtime().stream().handle();
    }

    /**
     * Writes the table.
     *
     * @param args the file, then shapes ROWSxCOLS; or {@code --once}, which runs each once and times nothing, for a profiler
     * @throws IOException if the file cannot be written
     */
    public static void main(String[] args) throws IOException {
        List<String> shapes = args.length > 1 ? List.of(args).subList(1, args.length) : SHAPES;
        boolean once = args[0].equals("--once");
        CudaSettings settings = new CudaSettings(true, false, false, false, false, "auto"); // graphs are recorded here
        List<String> lines = new ArrayList<>(List.of(
                "| kernel | shape | µs | GB/s | copy GB/s | share | floor |",
                "| --- | --- | ---: | ---: | ---: | ---: | --- |"));
        try (CudaBackend backend = Gpu.open(settings)) {
            QuantizeTimes times = new QuantizeTimes(backend, once);
            for (String shape : shapes) {
                String[] extents = shape.split("x", 2);
                lines.addAll(times.shape(Integer.parseInt(extents[0]), Integer.parseInt(extents[1])));
            }
        }
        if (!once) {
            Files.write(Path.of(args[0]), lines);
        }
    }

    private static Map<String, QuantizeSpec> specs() {
        Map<String, QuantizeSpec> specs = new LinkedHashMap<>();
        for (Rounding rounding : List.of(Rounding.NEAREST_EVEN, Rounding.STOCHASTIC)) {
            String end = rounding == Rounding.STOCHASTIC ? " stochastic" : " nearest";
            put(specs, "int8 128x128" + end, SpecTable.int8(new Granularity.PerBlock(128, 128), rounding));
            put(specs, "int8 32x32" + end, SpecTable.int8(new Granularity.PerBlock(32, 32), rounding));
            put(specs, "int8 row" + end, SpecTable.int8(new Granularity.PerRow(), rounding));
            put(specs, "int8 tensor" + end, SpecTable.int8(new Granularity.PerTensor(), rounding));
            put(specs, "e4m3 tensor" + end, fp8(new Granularity.PerTensor(), rounding));
            put(specs, "e4m3 1x128" + end, fp8(new Granularity.PerBlock(1, 128), rounding));
            put(
                    specs,
                    "int8 given" + end,
                    PlaneSpec.value(
                            DType.INT8,
                            new Granularity.PerTensor(),
                            new ScaleRule.Given("scale", ScaleRule.Application.SCALE, new ScaleRule.AmaxOverTop()),
                            rounding));
        }
        put(specs, "e3m0 tensor stochastic", SpecTable.power(DType.E3M0, 6));
        put(
                specs,
                "int4 sawb nearest",
                PlaneSpec.value(
                        DType.INT4,
                        new Granularity.PerTensor(),
                        new ScaleRule.Sawb(12.1f, 12.2f, 7, -7, 7),
                        Rounding.NEAREST_EVEN));
        PlaneSpec first = SpecTable.int8(new Granularity.PerBlock(128, 128), Rounding.NEAREST_EVEN);
        specs.put(
                "int8 128x128 fallback",
                QuantizeSpec.both(
                        Role.INPUT, List.of(first, PlaneSpec.residual(first, new Threshold.Delayed("threshold")))));
        specs.put("int4 digits", QuantizeSpec.both(Role.GRAD_OUTPUT, PlaneSpec.digits(SplitMode.UNBIASED)));
        specs.put("bf16", QuantizeSpec.both(Role.INPUT, List.of(PlaneSpec.unscaled(DType.BF16))));
        specs.put(
                "int8 128x128 hadamard",
                QuantizeSpec.both(Role.INPUT, List.of(first)).with(new Transform.BlockHadamard("log2")));
        return specs;
    }

    private static void put(Map<String, QuantizeSpec> specs, String name, PlaneSpec plane) {
        specs.put(name, QuantizeSpec.both(Role.GRAD_OUTPUT, List.of(plane)));
    }

    private static PlaneSpec fp8(Granularity granularity, Rounding rounding) {
        return PlaneSpec.value(DType.E4M3, granularity, new ScaleRule.TopOverAmax(false), rounding);
    }

    /** {@return a row of the table for each kind of quantization} */
    private List<String> shape(int rows, int cols) {
        List<Tensor> inputs = new ArrayList<>();
        for (int i = 0; i < (once ? 1 : INPUTS); i++) {
            Tensor x = backend.allocate("x", DType.FP32, Shape.of(rows, cols), MemoryTag.SCRATCH);
            backend.write(x, normal(i, rows * cols));
            inputs.add(x);
        }
        double copy = copyBandwidth(inputs);
        List<String> lines = new ArrayList<>();
        specs().forEach((name, spec) -> {
            double seconds = quantize(spec, inputs, cols);
            double bandwidth = bytes(spec, rows, cols) / seconds / GIGA;
            double share = bandwidth / copy;
            double floor = draws(spec) ? STOCHASTIC_FLOOR : NEAREST_FLOOR;
            lines.add(String.format(
                    Locale.ROOT,
                    "| %s | %dx%d | %.1f | %.0f | %.0f | %.2f | %.2f%s |",
                    name,
                    rows,
                    cols,
                    seconds * 1e6,
                    bandwidth,
                    copy,
                    share,
                    floor,
                    share < floor ? " below" : ""));
        });
        inputs.forEach(Tensor::close);
        return lines;
    }

    private static boolean draws(QuantizeSpec spec) {
        return spec.operands().stream()
                .flatMap(operand -> operand.planes().stream())
                .anyMatch(plane -> plane.rounding() == Rounding.STOCHASTIC);
    }

    /** {@return bytes of the input and of all codes} */
    private static long bytes(QuantizeSpec spec, int rows, int cols) {
        long bits = Float.SIZE;
        for (var operand : spec.operands()) {
            for (PlaneSpec plane : operand.planes()) {
                bits += plane.format().bits();
            }
        }
        return (long) rows * cols * bits / Byte.SIZE;
    }

    /** {@return normal numbers: a million are drawn, and each line begins somewhere among them} */
    private static float[] normal(int seed, int length) {
        SplittableRandom random = new SplittableRandom(seed);
        float[] some = new float[SOME];
        for (int i = 0; i < some.length; i++) {
            some[i] = (float) random.nextGaussian();
        }
        float[] values = new float[length];
        for (int from = 0; from < length; from += LINE) {
            System.arraycopy(some, random.nextInt(SOME - LINE), values, from, Math.min(LINE, length - from));
        }
        return values;
    }

    private double copyBandwidth(List<Tensor> inputs) {
        long bytes = CudaTensor.of(inputs.getFirst()).bytes();
        double seconds = replay(() -> {
            for (int i = 0; i < inputs.size(); i++) {
                JCudaDriver.cuMemcpyDtoDAsync(
                        at(inputs.get((i + inputs.size() / 2) % inputs.size())), at(inputs.get(i)), bytes, stream);
            }
        });
        return 2.0 * bytes / (seconds / INPUTS) / GIGA;
    }

    private static CUdeviceptr at(Tensor tensor) {
        return new Address(CudaTensor.of(tensor).address());
    }

    private static final class Address extends CUdeviceptr {
        Address(long address) {
            super(new CUdeviceptr(), address);
        }
    }

    private double quantize(QuantizeSpec spec, List<Tensor> inputs, int cols) {
        try (DeviceState state = backend.allocateState(state(cols));
                StepScope scope = backend.beginStep(StepContext.train(3, 0.1f))) {
            return replay(() -> {
                        for (Tensor x : inputs) {
                            try (Quantized quantized = backend.quantization().quantize(scope, spec, SITE, x, state)) {
                                quantized.statistics();
                            }
                        }
                    })
                    / INPUTS;
        }
    }

    /** {@return the state of the kit's table, with a threshold above which a quarter of the blocks lie} */
    private static List<StateVector> state(int cols) {
        return SpecTable.state(cols).stream()
                .map(vector -> vector.name().equals("threshold") ? StateVector.scalar("threshold", THRESHOLD) : vector)
                .toList();
    }

    /** {@return seconds that the work takes when it is replayed} */
    private double replay(Runnable work) {
        work.run(); // loads kernels and finds memory
        backend.runtime().stream().synchronize("warm up");
        if (once) {
            return 1;
        }
        JCudaDriver.cuStreamBeginCapture(stream, CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED);
        work.run();
        CUgraph graph = new CUgraph();
        JCudaDriver.cuStreamEndCapture(stream, graph);
        CUgraphExec exec = new CUgraphExec();
        JCudaDriver.cuGraphInstantiate(exec, graph, 0);
        JCudaDriver.cuGraphLaunch(exec, stream);
        CUevent from = new CUevent();
        CUevent to = new CUevent();
        JCudaDriver.cuEventCreate(from, 0);
        JCudaDriver.cuEventCreate(to, 0);
        JCudaDriver.cuEventRecord(from, stream);
        for (int i = 0; i < REPLAYS; i++) {
            JCudaDriver.cuGraphLaunch(exec, stream);
        }
        JCudaDriver.cuEventRecord(to, stream);
        JCudaDriver.cuEventSynchronize(to);
        float[] millis = new float[1];
        JCudaDriver.cuEventElapsedTime(millis, from, to);
        JCudaDriver.cuGraphExecDestroy(exec);
        JCudaDriver.cuGraphDestroy(graph);
        return millis[0] / 1e3 / REPLAYS;
    }
}
