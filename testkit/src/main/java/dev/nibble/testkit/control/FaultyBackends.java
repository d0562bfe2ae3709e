package dev.nibble.testkit.control;

import dev.nibble.gemm.GemmSpec;
import dev.nibble.host.HostOperand;
import dev.nibble.host.HostPlane;
import dev.nibble.host.HostQuantized;
import dev.nibble.host.HostRuntime;
import dev.nibble.host.HostTensor;
import dev.nibble.quant.OperandSpec;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.quant.ScaleRule;
import dev.nibble.quant.Statistic;
import dev.nibble.random.RandomStream;
import dev.nibble.reference.GroupScale;
import dev.nibble.reference.ReferenceGemm;
import dev.nibble.report.ExecutionRow;
import dev.nibble.spi.Backend;
import dev.nibble.spi.BackendProvider;
import dev.nibble.spi.GemmBackend;
import dev.nibble.spi.Operand;
import dev.nibble.spi.QuantizeOps;
import dev.nibble.spi.Quantized;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Nibbles;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.util.List;
import java.util.function.BiFunction;
import java.util.function.UnaryOperator;

/** Backends that differ from the plain code by one fault each. */
public final class FaultyBackends {
    private static final float TOP = 127;

    private FaultyBackends() {}

    private static <T> T sound(HostRuntime runtime, T plain) {
        return plain;
    }

    private static BackendProvider quantizing(
            String name, String description, BiFunction<HostRuntime, QuantizeOps, QuantizeOps> quantization) {
        return new FaultyBackend(name, description, quantization, FaultyBackends::sound, UnaryOperator.identity());
    }

    /** {@return a backend that rounds INT8 stochastically by {@code floor(t + u)} in FP32, which moves exact values} */
    public static BackendProvider addingTheDraw() {
        return quantizing(
                "control-adding-the-draw",
                "rounds by floor(t + u) in FP32",
                (runtime, plain) -> new AlteredQuantize(plain, (scope, spec, site, x, state) -> {
                    Quantized quantized = plain.quantize(scope, spec, site, x, state);
                    for (OperandSpec operand : spec.operands()) {
                        if (isTensorInt8(operand.planes().getFirst())) {
                            roundByAdding(runtime, scope.context(), spec, site, x, (HostQuantized) quantized, operand);
                        }
                    }
                    return quantized;
                }));
    }

    private static boolean isTensorInt8(PlaneSpec plane) {
        return plane.format() == DType.INT8
                && plane.rounding() == Rounding.STOCHASTIC
                && plane.scaleRule() instanceof ScaleRule.AmaxOverTop
                && plane.granularity().transposable();
    }

    private static void roundByAdding(
            HostRuntime runtime,
            StepContext context,
            QuantizeSpec spec,
            Site site,
            Tensor x,
            HostQuantized quantized,
            OperandSpec operand) {
        float[] values = HostTensor.floats(x); // [rows, cols]
        float amax = HostTensor.floats(quantized.statistics())[Statistic.AMAX.ordinal()];
        GroupScale scale = GroupScale.int8(amax);
        RandomStream stream = new RandomStream(
                runtime.seed(),
                context.step(),
                context.microBatch(),
                site.ordinal(),
                spec.role(),
                spec.purpose(operand.contraction()),
                0);
        byte[] codes = HostOperand.of(quantized.operand(operand.contraction()))
                .planes()
                .getFirst()
                .codes()
                .bytes(); // [rows, cols]
        for (int i = 0; i < codes.length; i++) {
            float sum = scale.apply(values[i]) + stream.uniform(i);
            codes[i] = (byte) Math.max(-TOP, Math.min(TOP, (float) Math.floor(sum)));
        }
    }

    /** {@return a backend whose draws leave the step out of their address: the same ones in every step} */
    public static BackendProvider withOneStream() {
        return quantizing(
                "control-one-stream",
                "draws the same in every step",
                (_, plain) -> new AlteredQuantize(
                        plain,
                        (scope, spec, site, x, state) -> plain.quantize(new FirstStep(scope), spec, site, x, state)));
    }

    /** A step that takes itself for the first one. */
    private record FirstStep(StepScope scope) implements StepScope {
        @Override
        public StepContext context() {
            StepContext own = scope.context();
            return new StepContext(0, own.microBatch(), own.mode(), own.learningRate(), own.phase());
        }

        @Override
        public Tensor allocate(String label, DType dtype, Shape shape) {
            return scope.allocate(label, dtype, shape);
        }

        @Override
        public void save(Tensor tensor) {
            scope.save(tensor);
        }

        @Override
        public void save(Operand operand) {
            scope.save(operand);
        }

        @Override
        public void close() {
            scope.close();
        }
    }

    /** {@return a backend that multiplies absent blocks of a residual as if they were there} */
    public static BackendProvider ignoringMasks() {
        return new FaultyBackend(
                "control-ignoring-masks",
                "multiplies absent blocks",
                FaultyBackends::sound,
                (_, plain) -> (scope, spec, site, a, b, d) ->
                        plain.multiply(scope, spec, site, unmasked(scope, a), unmasked(scope, b), d),
                UnaryOperator.identity());
    }

    private static HostOperand unmasked(StepScope scope, Operand operand) {
        HostOperand host = HostOperand.of(operand);
        HostTensor everywhere = HostTensor.of(scope.allocate("mask", DType.INT8, Shape.of(0)));
        List<HostPlane> planes = host.planes().stream()
                .map(p -> new HostPlane(p.spec(), p.codes(), p.transposed(), p.scales(), everywhere))
                .toList();
        return new HostOperand(host.spec(), host.rows(), host.k(), planes);
    }

    /** {@return a backend that keeps INT4 codes in bytes, and reports that it has stored INT4} */
    public static BackendProvider storingWider() {
        return new FaultyBackend(
                "control-storing-wider",
                "stores INT4 in bytes and says otherwise",
                (_, plain) -> new AlteredQuantize(plain, (scope, spec, site, x, state) -> {
                    try (Quantized packed = plain.quantize(scope, spec, site, x, state)) {
                        HostQuantized host = (HostQuantized) packed;
                        List<HostOperand> wide = host.operands().stream()
                                .map(o -> widened(scope, o))
                                .toList();
                        return new HostQuantized(wide, host.statistics().share());
                    }
                }),
                (runtime, _) -> lying(runtime),
                UnaryOperator.identity());
    }

    private static HostOperand widened(StepScope scope, HostOperand operand) {
        List<HostPlane> planes = operand.planes().stream()
                .map(p -> new HostPlane(
                        p.spec(),
                        p.codes().dtype() == DType.INT4
                                ? widened(scope, p)
                                : p.codes().share(),
                        p.transposed(),
                        p.scales().share(),
                        p.mask().share()))
                .toList();
        return new HostOperand(operand.spec(), operand.rows(), operand.k(), planes);
    }

    private static HostTensor widened(StepScope scope, HostPlane plane) {
        Shape shape = plane.codes().shape();
        int cols = (int) shape.cols();
        HostTensor wide = HostTensor.of(scope.allocate("codes", DType.INT8, shape));
        for (int i = 0; i < shape.elements(); i++) {
            int nibble = Nibbles.get(plane.codes().bytes(), i / cols * plane.pitch() + i % cols);
            wide.bytes()[i] = (byte) Nibbles.value(DType.INT4, nibble);
        }
        return wide;
    }

    private static GemmBackend lying(HostRuntime runtime) {
        ReferenceGemm unseen = new ReferenceGemm(new HostRuntime(runtime.seed(), false));
        return (StepScope scope, GemmSpec spec, Site site, Operand a, Operand b, Tensor d) -> {
            unseen.multiply(scope, spec, site, a, b, d);
            String requested = a.spec().formatLabel() + " x " + b.spec().formatLabel();
            runtime.log()
                    .launched(new ExecutionRow(
                            site.name(), spec.product().label(), requested, requested, "gemm", "int32", true, ""));
        };
    }

    /** {@return a backend that lets a step read device values} */
    public static BackendProvider readableInSteps() {
        return new FaultyBackend(
                "control-readable-in-steps",
                "lets a step read",
                FaultyBackends::sound,
                FaultyBackends::sound,
                FaultyBackends::readable);
    }

    private static Backend readable(Backend sound) {
        return (Backend) Proxy.newProxyInstance(
                Backend.class.getClassLoader(), new Class<?>[] {Backend.class}, (_, method, arguments) -> {
                    if (method.getName().equals("readFloats")) {
                        return HostTensor.floats((Tensor) arguments[0]).clone();
                    }
                    try {
                        return method.invoke(sound, arguments);
                    } catch (InvocationTargetException e) {
                        throw e.getTargetException();
                    }
                });
    }

    /** {@return a backend that forgets to close what quantization returns} */
    public static BackendProvider leaking() {
        return quantizing(
                "control-leaking",
                "keeps a handle on all statistics",
                (_, plain) -> new AlteredQuantize(plain, (scope, spec, site, x, state) -> {
                    Quantized quantized = plain.quantize(scope, spec, site, x, state);
                    quantized.statistics().share();
                    return quantized;
                }));
    }
}
