package dev.nibble.conformance;

import dev.nibble.gemm.Arithmetic;
import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Term;
import dev.nibble.quant.OperandSpec;
import dev.nibble.report.ExecutionLog;
import dev.nibble.spi.Backend;
import dev.nibble.spi.CodecOps;
import dev.nibble.spi.ConvolutionOps;
import dev.nibble.spi.DeviceState;
import dev.nibble.spi.GemmBackend;
import dev.nibble.spi.MemoryLayout;
import dev.nibble.spi.MemoryUse;
import dev.nibble.spi.NeuralOps;
import dev.nibble.spi.NonFinite;
import dev.nibble.spi.Operand;
import dev.nibble.spi.OptimizerOps;
import dev.nibble.spi.QuantizeOps;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.state.StateVector;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * Two backends that do the same, operation by operation. Before an operation, what it reads on the second is overwritten with
 * what the first has; behind it, both results are compared: so a difference is told where it arises, and goes no further. On
 * each backend an operation is a step of its own, since a device value can be read only between steps.
 */
final class MirrorBackend implements Backend {
    private static final int MOST_FAILURES = 20;

    /** What a product of floats that tensor cores add may be off, as a share of the sum of magnitudes, beyond its roundings. */
    private static final double FP8_CHAIN =
            4 * 33 * 0x1p-13; // four instructions of 32 products and the sum, 13 bits kept

    private static final double U = 0x1p-24;

    private final Backend first;
    private final Backend second;
    private final List<String> failures = new ArrayList<>();
    private final Map<String, Integer> counts = new TreeMap<>(); // of compared operations
    private int step = -1;

    /** Takes ownership of both. */
    MirrorBackend(Backend first, Backend second) {
        this.first = first;
        this.second = second;
    }

    /** {@return the differences that were found, the first ones} */
    List<String> failures() {
        return List.copyOf(failures);
    }

    /** {@return how often each operation was compared} */
    Map<String, Integer> counts() {
        return counts;
    }

    private record Scope(StepContext context, MirrorBackend mirror, List<AutoCloseable> owned) implements StepScope {
        @Override
        public Tensor allocate(String label, DType dtype, Shape shape) {
            return own(mirror.allocate(label, dtype, shape, MemoryTag.SCRATCH));
        }

        <T extends AutoCloseable> T own(T made) {
            owned.add(made);
            return made;
        }

        @Override
        public void save(Tensor tensor) {
            // whoever saves a tensor shares it
        }

        @Override
        public void save(Operand operand) {
            // whoever saves an operand shares it
        }

        @Override
        public void close() {
            for (AutoCloseable made : owned) {
                Mirrored.close(made);
            }
        }
    }

    @Override
    public String name() {
        return "mirror";
    }

    @Override
    public String description() {
        return first.name() + " and " + second.name();
    }

    @Override
    public Tensor allocate(String label, DType dtype, Shape shape, MemoryTag tag) {
        return new Mirrored.OfTensor(
                first.allocate(label, dtype, shape, tag), second.allocate(label, dtype, shape, tag));
    }

    @Override
    public DeviceState allocateState(List<StateVector> vectors) {
        DeviceState one = first.allocateState(vectors);
        DeviceState two = second.allocateState(vectors);
        Map<String, Tensor> both = new TreeMap<>();
        one.all().forEach((name, vector) -> both.put(name, new Mirrored.OfTensor(vector, two.get(name))));
        return new DeviceState(both);
    }

    @Override
    public void write(Tensor tensor, float[] values) {
        first.write(Mirrored.tensor(tensor).first(), values);
        second.write(Mirrored.tensor(tensor).second(), values);
    }

    @Override
    public void write(Tensor tensor, int[] values) {
        first.write(Mirrored.tensor(tensor).first(), values);
        second.write(Mirrored.tensor(tensor).second(), values);
    }

    @Override
    public float[] readFloats(Tensor tensor) {
        return first.readFloats(Mirrored.tensor(tensor).first());
    }

    @Override
    public byte[] readCodes(Operand operand, int plane) {
        return first.readCodes(Mirrored.operand(operand).first(), plane);
    }

    @Override
    public float[] readScales(Operand operand, int plane) {
        return first.readScales(Mirrored.operand(operand).first(), plane);
    }

    @Override
    public StepScope beginStep(StepContext context) {
        step = context.step();
        return new Scope(context, this, new ArrayList<>());
    }

    @Override
    public List<NonFinite> takeNonFinite() {
        List<NonFinite> one = first.takeNonFinite();
        List<NonFinite> two = second.takeNonFinite();
        if (!one.equals(two)) {
            fail("operands that are not finite are " + two + ", but must be " + one);
        }
        return one;
    }

    private <T> T operations(Class<T> type, T one, T two) {
        Object proxy = Proxy.newProxyInstance(
                type.getClassLoader(),
                new Class<?>[] {type},
                (_, method, arguments) -> both(type.getSimpleName(), method, one, two, arguments));
        return type.cast(proxy);
    }

    private Object both(String group, Method method, Object one, Object two, Object[] arguments) throws Throwable {
        Scope scope = (Scope) arguments[0];
        String what = "step %d, %s.%s".formatted(step, group, method.getName());
        Map<String, Mirrored.OfTensor> tensors = Mirrored.floats(arguments);
        for (Mirrored.OfTensor tensor : tensors.values()) {
            second.write(tensor.second(), first.readFloats(tensor.first()));
        }
        float[] before = new float[0]; // D of a product, [M, N]
        if (one instanceof GemmBackend) {
            before = first.readFloats(Mirrored.tensor(arguments[5]).first());
        }
        Object resultOne = run(first, true, method, one, arguments);
        Object resultTwo = run(second, false, method, two, arguments);
        counts.merge(group + '.' + method.getName(), 1, Integer::sum);
        Object result = Mirrored.pair(resultOne, resultTwo, scope.owned());
        if (one instanceof GemmBackend && !exact(arguments)) {
            compareProduct(what, arguments, before);
            return result;
        }
        tensors.forEach((name, tensor) -> compare(what + ": " + name, tensor));
        Mirrored.floats(new Object[] {result}).forEach((name, tensor) -> compare(what + " gives " + name, tensor));
        Mirrored.operands(result).forEach(operand -> compareOperand(what, operand));
        return result;
    }

    /** {@return what an operation gives in a step of its own, with handles that outlive it} */
    private static Object run(Backend backend, boolean isFirst, Method method, Object operations, Object[] arguments)
            throws Throwable {
        try (StepScope scope = backend.beginStep(((Scope) arguments[0]).context())) {
            Object[] own = arguments.clone();
            own[0] = scope;
            for (int i = 1; i < own.length; i++) {
                own[i] = Mirrored.side(own[i], isFirst);
            }
            return Mirrored.keep(method.invoke(operations, own), arguments);
        } catch (InvocationTargetException e) {
            throw e.getTargetException();
        }
    }

    private void fail(String message) {
        if (failures.size() < MOST_FAILURES) {
            failures.add(message);
        }
    }

    private void compare(String what, Mirrored.OfTensor tensor) {
        float[] expected = first.readFloats(tensor.first());
        float[] actual = second.readFloats(tensor.second());
        int different = 0;
        int at = 0;
        for (int i = expected.length - 1; i >= 0; i--) {
            if (Float.floatToIntBits(expected[i]) != Float.floatToIntBits(actual[i])) {
                different++;
                at = i;
            }
        }
        if (different > 0) {
            fail("%s %s%s: %d of %d values differ, first [%d]: %s, but must be %s"
                    .formatted(
                            what,
                            tensor.label(),
                            tensor.shape(),
                            different,
                            expected.length,
                            at,
                            actual[at],
                            expected[at]));
        }
    }

    private void compareOperand(String what, Mirrored.OfOperand operand) {
        for (int plane = 0; plane < operand.spec().planes().size(); plane++) {
            boolean codes =
                    Arrays.equals(first.readCodes(operand.first(), plane), second.readCodes(operand.second(), plane));
            float[] expected = first.readScales(operand.first(), plane);
            float[] actual = second.readScales(operand.second(), plane);
            if (!codes || !Arrays.equals(expected, actual)) {
                fail("%s: %s of plane %d of %s differ"
                        .formatted(what, codes ? "scales" : "codes", plane, operand.spec()));
            }
        }
    }

    private static boolean exact(Object[] arguments) {
        OperandSpec a = Mirrored.operand(arguments[3]).spec();
        OperandSpec b = Mirrored.operand(arguments[4]).spec();
        return ((GemmSpec) arguments[1])
                .terms().stream()
                        .allMatch(term -> Arithmetic.of(format(a, term.planeA()), format(b, term.planeB()))
                                        == Arithmetic.EXACT
                                || (format(a, term.planeA()) == DType.FP32 && format(b, term.planeB()) == DType.FP32));
    }

    private static DType format(OperandSpec operand, int plane) {
        return operand.planes().get(plane).format();
    }

    /**
     * Products of 8- and 16-bit floats: both are within γ of the exact sum with at most K + 8 roundings, hence within twice
     * that of each other, as a share of Σ|a·b|; tensor cores lose {@link #FP8_CHAIN} more of it.
     */
    private void compareProduct(String what, Object[] arguments, float[] before) {
        GemmSpec gemm = (GemmSpec) arguments[1];
        Mirrored.OfTensor d = Mirrored.tensor(arguments[5]);
        float[] expected = first.readFloats(d.first());
        float[] actual = second.readFloats(d.second());
        Mirrored.OfOperand a = Mirrored.operand(arguments[3]);
        Mirrored.OfOperand b = Mirrored.operand(arguments[4]);
        float[] left = values(a.first()); // [M, K]
        float[] right = values(b.first()); // [N, K]
        int k = Math.toIntExact(a.k());
        int n = Math.toIntExact(b.rows());
        double relative = 2 * (k + 8) * U * 1.01 + (floats(gemm, a, b) ? 0 : FP8_CHAIN);
        for (int i = 0; i < expected.length; i++) {
            double magnitude = Math.abs(before[i]);
            for (int j = 0; j < k; j++) {
                magnitude += Math.abs((double) left[i / n * k + j] * right[i % n * k + j]);
            }
            double limit = relative * magnitude * (1 + relative) + Float.MIN_NORMAL;
            if (!(Math.abs((double) expected[i] - actual[i]) <= limit)) {
                fail("%s %s x %s: element %d is %s, but must be %s within %s"
                        .formatted(what, a.spec(), b.spec(), i, actual[i], expected[i], limit));
                break;
            }
        }
        first.write(d.first(), expected);
    }

    private static boolean floats(GemmSpec gemm, Mirrored.OfOperand a, Mirrored.OfOperand b) {
        Term term = gemm.terms().getFirst();
        return Arithmetic.of(format(a.spec(), term.planeA()), format(b.spec(), term.planeB())) == Arithmetic.FLOAT;
    }

    private float[] values(Operand operand) {
        Tensor meaning;
        try (StepScope scope = first.beginStep(StepContext.train(step, 0))) {
            meaning = first.quantization().dequantize(scope, operand).share();
        }
        try (meaning) {
            return first.readFloats(meaning);
        }
    }

    @Override
    public QuantizeOps quantization() {
        return operations(QuantizeOps.class, first.quantization(), second.quantization());
    }

    @Override
    public GemmBackend gemm() {
        return operations(GemmBackend.class, first.gemm(), second.gemm());
    }

    @Override
    public NeuralOps neural() {
        return operations(NeuralOps.class, first.neural(), second.neural());
    }

    @Override
    public ConvolutionOps convolution() {
        return operations(ConvolutionOps.class, first.convolution(), second.convolution());
    }

    @Override
    public CodecOps codec() {
        return operations(CodecOps.class, first.codec(), second.codec());
    }

    @Override
    public OptimizerOps optimizer() {
        return operations(OptimizerOps.class, first.optimizer(), second.optimizer());
    }

    @Override
    public ExecutionLog log() {
        return second.log();
    }

    @Override
    public MemoryLayout memoryLayout() {
        return second.memoryLayout();
    }

    @Override
    public MemoryUse memory() {
        return second.memory();
    }

    @Override
    public void close() {
        first.close();
        second.close();
    }
}
