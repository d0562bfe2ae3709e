package dev.nibble.quant.luq;

import dev.nibble.gemm.Product;
import dev.nibble.host.HostOperand;
import dev.nibble.host.HostPlane;
import dev.nibble.host.HostQuantized;
import dev.nibble.host.HostTensor;
import dev.nibble.quant.Contraction;
import dev.nibble.quant.Statistic;
import dev.nibble.reference.ReferenceBackendProvider;
import dev.nibble.spi.Backend;
import dev.nibble.spi.BackendOptions;
import dev.nibble.spi.Control;
import dev.nibble.spi.DeviceState;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearPlan;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.Operand;
import dev.nibble.spi.OptionValues;
import dev.nibble.spi.PlanRequest;
import dev.nibble.spi.Plugins;
import dev.nibble.spi.QuantizerProvider;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.state.StateInput;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Nibbles;
import dev.nibble.tensor.Role;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.Map;

/** One layer on the reference backend, in one open step at a time. */
final class Layer implements AutoCloseable {
    static final Site SITE = new Site("blocks.0.mlp.down", 5);
    static final long SEED = 42;

    private final Backend backend = new ReferenceBackendProvider().open(BackendOptions.withSeed(SEED));
    private final LinearQuantizer quantizer;
    private final DeviceState state;
    private StepScope scope;
    private LinearPlan plan;

    /** A layer whose input may be negative, in step 0. */
    Layer(Map<String, String> options) {
        this(options, false);
    }

    Layer(Map<String, String> options, boolean nonNegativeInput) {
        quantizer = quantizer(options, nonNegativeInput);
        state = backend.allocateState(quantizer.state());
        scope = backend.beginStep(StepContext.train(0, 0));
        plan = quantizer.plan(new PlanRequest(1, true));
    }

    /** {@return the quantizer of a layer} */
    static LinearQuantizer quantizer(Map<String, String> options, boolean nonNegativeInput) {
        QuantizerProvider provider = Plugins.quantizers().get("luq");
        return provider.create(OptionValues.of("luq", provider.options(), options))
                .linear(new LinearLayer(SITE, 1, 1, nonNegativeInput));
    }

    /** Ends the open step and begins another. */
    void begin(StepContext context) {
        scope.close();
        scope = backend.beginStep(context);
        plan = quantizer.plan(new PlanRequest(1, false, context.phase()));
    }

    /** Ends the open step and begins another, in training. */
    void begin(int step) {
        begin(StepContext.train(step, 0));
    }

    Backend backend() {
        return backend;
    }

    StepScope scope() {
        return scope;
    }

    LinearPlan plan() {
        return plan;
    }

    /** {@return x [rows, cols] quantized for a role} */
    HostQuantized quantize(Role role, float[] x, int rows, int cols) {
        try (Tensor tensor = scope.allocate("x", DType.FP32, Shape.of(rows, cols))) {
            backend.write(tensor, x);
            return (HostQuantized) backend.quantization().quantize(scope, plan.quantize(role), SITE, tensor, state);
        }
    }

    /** {@return dY [rows, cols] quantized} */
    HostQuantized gradient(float[] x, int rows, int cols) {
        return quantize(Role.GRAD_OUTPUT, x, rows, cols);
    }

    /** {@return what the codes of a plane stand for at scale 1, [rows, cols] of the matrix, whatever the contraction} */
    static int[] codes(HostQuantized quantized, Contraction contraction, int plane) {
        HostPlane stored =
                HostOperand.of(quantized.operand(contraction)).planes().get(plane);
        int rows = (int) stored.codes().shape().rows();
        int cols = (int) stored.codes().shape().cols();
        DType format = stored.codes().dtype();
        byte[] bytes = stored.codes().bytes(); // rows of pitch elements
        int[] codes = new int[rows * cols]; // [rows, cols]
        for (int i = 0; i < codes.length; i++) {
            int at = i / cols * stored.pitch() + i % cols;
            codes[i] = switch (format) {
                case INT4, UINT4, E3M0 -> Nibbles.value(format, Nibbles.get(bytes, at));
                case E4M0 -> Nibbles.value(format, bytes[at] & 0xFF);
                default -> bytes[at];
            };
        }
        return codes;
    }

    /** {@return the codes of the first plane, [rows, cols]} */
    static int[] codes(HostQuantized quantized) {
        return codes(quantized, Contraction.COLUMNS, 0);
    }

    /** {@return the scale of the first plane} */
    static float scale(HostQuantized quantized) {
        float[] scales = HostTensor.floats(HostOperand.of(quantized.operand(Contraction.COLUMNS))
                .planes()
                .getFirst()
                .scales()); // [1]
        return scales[0];
    }

    static float statistic(HostQuantized quantized, Statistic statistic) {
        return HostTensor.floats(quantized.statistics())[statistic.ordinal()];
    }

    /** {@return what codes and scales mean, [rows, k] of the operand} */
    float[] dequantize(Operand operand) {
        try (Tensor values = backend.quantization().dequantize(scope, operand)) {
            return HostTensor.floats(values).clone();
        }
    }

    /** {@return one of the three products, [a.rows, b.rows]} */
    float[] multiply(Product product, HostQuantized a, HostQuantized b) {
        Operand left = a.operand(product.contractionA());
        Operand right = b.operand(product.contractionB());
        try (Tensor d = backend.allocate("d", DType.FP32, Shape.of(left.rows(), right.rows()), MemoryTag.SCRATCH)) {
            backend.gemm().multiply(scope, plan.gemm(product), SITE, left, right, d);
            return HostTensor.floats(d).clone();
        }
    }

    /** Does what a layer does with the statistics of dY. */
    void afterBackward(HostQuantized gradient) {
        backend.quantization()
                .run(
                        scope,
                        plan.afterBackward(),
                        state,
                        Map.of(StateInput.GRAD_OUTPUT_STATISTICS, gradient.statistics()));
    }

    /** Does what a layer does when the optimizer has run. */
    void afterOptimizer(boolean skipped) {
        float[] values = new float[Control.count()]; // [Control.count()]
        values[Control.SKIPPED.ordinal()] = skipped ? 1 : 0;
        try (Tensor control = scope.allocate("control", DType.FP32, Shape.of(values.length))) {
            backend.write(control, values);
            backend.quantization().run(scope, plan.afterOptimizer(), state, Map.of(StateInput.CONTROL, control));
        }
    }

    /** {@return element 0 of a state vector} */
    float state(String name) {
        return HostTensor.floats(state.get(name))[0];
    }

    @Override
    public void close() {
        scope.close();
        state.close();
        backend.close();
    }
}
