package dev.nibble.quant.fp8;

import dev.nibble.gemm.Product;
import dev.nibble.host.HostOperand;
import dev.nibble.host.HostPlane;
import dev.nibble.host.HostQuantized;
import dev.nibble.host.HostTensor;
import dev.nibble.quant.Contraction;
import dev.nibble.quant.QuantizeSpec;
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
import dev.nibble.state.StateProgram;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Role;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.Map;

/** One layer on the reference backend, in one open step at a time. */
final class Step implements AutoCloseable {
    static final Site SITE = new Site("blocks.0.mlp.down", 5);

    private final Backend backend = new ReferenceBackendProvider().open(BackendOptions.withSeed(42));
    private final DeviceState state;
    private final LinearPlan plan;
    private StepScope scope = backend.beginStep(StepContext.train(0, 0));

    Step(Map<String, String> options) {
        this(options, 1);
    }

    /** A layer with {@code in} features of its input. */
    Step(Map<String, String> options, int in) {
        LinearQuantizer quantizer = quantizer(options, new LinearLayer(SITE, in, 1));
        state = backend.allocateState(quantizer.state());
        plan = quantizer.plan(new PlanRequest(1, false));
    }

    /** {@return the quantizer of a layer} */
    static LinearQuantizer quantizer(Map<String, String> options) {
        return quantizer(options, new LinearLayer(SITE, 1, 1));
    }

    static LinearQuantizer quantizer(Map<String, String> options, LinearLayer layer) {
        QuantizerProvider provider = Plugins.quantizers().get("fp8");
        return provider.create(OptionValues.of("fp8", provider.options(), options))
                .linear(layer);
    }

    LinearPlan plan() {
        return plan;
    }

    /** Ends the open step and begins another, in training. */
    void begin(int step) {
        scope.close();
        scope = backend.beginStep(StepContext.train(step, 0));
    }

    Tensor tensor(float[] x, int rows, int cols) {
        Tensor tensor = scope.allocate("x", DType.FP32, Shape.of(rows, cols));
        backend.write(tensor, x);
        return tensor;
    }

    /** Does what a layer does before it quantizes anything in a step. */
    void measure(float[] x, int rows, int cols) {
        run(plan.beforeForward(), Map.of(StateInput.INPUT, tensor(x, rows, cols)));
    }

    /** {@return x [rows, cols] quantized for a role} */
    HostQuantized quantize(Role role, float[] x, int rows, int cols) {
        return quantize(plan.quantize(role), x, rows, cols);
    }

    HostQuantized quantize(QuantizeSpec spec, float[] x, int rows, int cols) {
        return (HostQuantized) backend.quantization().quantize(scope, spec, SITE, tensor(x, rows, cols), state);
    }

    /** Does what a layer does with the statistics of a micro-batch. */
    void gather(HostQuantized input, HostQuantized weight, HostQuantized gradOutput) {
        run(
                plan.afterForward(),
                Map.of(
                        StateInput.INPUT_STATISTICS, input.statistics(),
                        StateInput.WEIGHT_STATISTICS, weight.statistics()));
        run(plan.afterBackward(), Map.of(StateInput.GRAD_OUTPUT_STATISTICS, gradOutput.statistics()));
    }

    /** Does what a layer does when the optimizer has run. */
    void afterOptimizer(boolean skipped) {
        float[] values = new float[Control.count()]; // [Control.count()]
        values[Control.SKIPPED.ordinal()] = skipped ? 1 : 0;
        run(plan.afterOptimizer(), Map.of(StateInput.CONTROL, tensor(values, 1, values.length)));
    }

    private void run(StateProgram program, Map<StateInput, Tensor> inputs) {
        backend.quantization().run(scope, program, state, inputs);
    }

    /** {@return a copy of a state vector} */
    float[] state(String name) {
        return HostTensor.floats(state.get(name)).clone();
    }

    static float statistic(HostQuantized quantized, Statistic statistic) {
        return HostTensor.floats(quantized.statistics())[statistic.ordinal()];
    }

    static float scale(Operand operand) {
        return scales(operand)[0];
    }

    /** {@return the scales, [kGroups, rowGroups]} */
    static float[] scales(Operand operand) {
        return HostTensor.floats(HostOperand.of(operand).planes().getFirst().scales());
    }

    /** {@return the codes in the order of the matrix, whatever the contraction} */
    static byte[] codes(Operand operand) {
        return HostOperand.of(operand).planes().getFirst().codes().bytes();
    }

    /** {@return the codes of a tensor, [rows, cols]} */
    byte[] codes(Role role, float[] x, int rows, int cols) {
        return codes(quantize(role, x, rows, cols).operand(Contraction.COLUMNS)).clone();
    }

    /** {@return what codes and scale mean, [rows, k] of the operand} */
    float[] dequantize(Operand operand) {
        return HostTensor.floats(backend.quantization().dequantize(scope, operand))
                .clone();
    }

    /** {@return what the codes of a tensor mean, [rows, cols]} */
    float[] roundTrip(Role role, float[] x, int rows, int cols) {
        return dequantize(quantize(role, x, rows, cols).operand(Contraction.COLUMNS));
    }

    /** {@return a matrix after the plan's transform of X or W, [rows, cols]} */
    float[] transform(Role role, float[] x, int rows, int cols) {
        return HostTensor.floats(backend.quantization()
                        .transform(scope, plan.quantize(role).transform(), SITE, tensor(x, rows, cols), state))
                .clone();
    }

    /** {@return a product, [a.rows, b.rows]} */
    float[] multiply(Product product, HostQuantized a, HostQuantized b) {
        return multiply(product, a.operand(product.contractionA()), b.operand(product.contractionB()));
    }

    float[] multiply(Product product, Operand left, Operand right) {
        try (Tensor d = backend.allocate("d", DType.FP32, Shape.of(left.rows(), right.rows()), MemoryTag.SCRATCH)) {
            backend.gemm().multiply(scope, plan.gemm(product), SITE, left, right, d);
            return HostTensor.floats(d).clone();
        }
    }

    /** {@return the formats of a plane's codes} */
    static DType stored(Operand operand) {
        HostPlane plane = HostOperand.of(operand).planes().getFirst();
        return plane.codes().dtype();
    }

    @Override
    public void close() {
        scope.close();
        state.close();
        backend.close();
    }
}
