package dev.nibble.quant.int4;

import dev.nibble.gemm.GemmSpec;
import dev.nibble.host.HostOperand;
import dev.nibble.host.HostTensor;
import dev.nibble.quant.Contraction;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.StraightThrough;
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
import dev.nibble.spi.Quantized;
import dev.nibble.spi.QuantizerProvider;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.state.StateInput;
import dev.nibble.state.StateProgram;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;

/** A linear layer on a backend, computed as its plan says: what a model's layer does, in the order it does it. */
final class Layer implements AutoCloseable {
    static final Site SITE = new Site("blocks.0.mlp.down", 5);

    private final Backend backend;
    private final LinearLayer layer;
    private final LinearQuantizer quantizer;
    private final DeviceState state;
    private Matrix weight;
    private int trainedSteps;

    /** What a forward pass gives and keeps: X for the weight gradient, W for that of the input, both as operands. */
    record Pass(LinearPlan plan, Matrix x, Matrix y, Operand input, Operand weight) implements AutoCloseable {
        @Override
        public void close() {
            input.close();
            weight.close();
        }
    }

    /** What a backward pass gives. */
    record Gradients(Matrix input, Matrix weight) {}

    Layer(Backend backend, Site site, Map<String, String> options, Matrix weight) {
        this.backend = backend;
        this.layer = new LinearLayer(site, weight.cols(), weight.rows());
        this.quantizer = quantizer(options, layer);
        this.state = backend.allocateState(quantizer.state());
        this.weight = weight;
    }

    Layer(Backend backend, Map<String, String> options, Matrix weight) {
        this(backend, SITE, options, weight);
    }

    static Backend backend() {
        return new ReferenceBackendProvider().open(BackendOptions.withSeed(42));
    }

    static LinearQuantizer quantizer(Map<String, String> options, LinearLayer layer) {
        QuantizerProvider provider = Plugins.quantizers().get("int4");
        return provider.create(OptionValues.of("int4", provider.options(), options))
                .linear(layer);
    }

    Matrix weight() {
        return weight;
    }

    void weight(Matrix next) {
        weight = next;
    }

    float state(String name) {
        return HostTensor.floats(state.get(name))[0];
    }

    void state(String name, float value) {
        HostTensor.floats(state.get(name))[0] = value;
    }

    /** {@return all state, by name} */
    Map<String, Float> states() {
        Map<String, Float> values = new TreeMap<>();
        state.all().forEach((name, vector) -> values.put(name, HostTensor.floats(vector)[0]));
        return values;
    }

    private Tensor tensor(StepScope scope, Matrix x) {
        Tensor tensor = scope.allocate("x", DType.FP32, Shape.of(x.rows(), x.cols()));
        backend.write(tensor, x.values());
        return tensor;
    }

    private static Matrix matrix(Tensor tensor) {
        return new Matrix(
                HostTensor.floats(tensor).clone(), (int) tensor.shape().rows(), (int)
                        tensor.shape().cols());
    }

    Quantized quantize(StepScope scope, QuantizeSpec spec, Matrix x) {
        return backend.quantization().quantize(scope, spec, layer.site(), tensor(scope, x), state);
    }

    /** {@return what the codes of an operand mean, [rows, k], in the transformed domain} */
    Matrix dequantize(StepScope scope, Operand operand) {
        return matrix(backend.quantization().dequantize(scope, operand));
    }

    private Matrix multiply(StepScope scope, GemmSpec spec, Operand a, Operand b) {
        Tensor d = scope.allocate("d", DType.FP32, Shape.of(a.rows(), b.rows()));
        backend.neural().zero(scope, d);
        backend.gemm().multiply(scope, spec, layer.site(), a, b, d);
        return matrix(d);
    }

    LinearPlan plan(int tokens) {
        return quantizer.plan(new PlanRequest(tokens, trainedSteps < quantizer.freshSteps()));
    }

    Pass forward(StepScope scope, Matrix x) {
        StepContext context = scope.context();
        LinearPlan plan = plan(x.rows());
        if (context.training() && context.microBatch() == 0) {
            plan.search()
                    .ifPresent(search -> backend.quantization()
                            .search(scope, search, tensor(scope, x), tensor(scope, weight), state));
        }
        try (Quantized input = quantize(scope, plan.input(), x);
                Quantized w = quantize(scope, plan.weight(), weight)) {
            Matrix y =
                    multiply(scope, plan.output(), input.operand(Contraction.COLUMNS), w.operand(Contraction.COLUMNS));
            if (context.training()) {
                run(
                        scope,
                        plan.afterForward(),
                        Map.of(
                                StateInput.INPUT_STATISTICS, input.statistics(),
                                StateInput.WEIGHT_STATISTICS, w.statistics()));
            }
            Operand kept = input.operand(Contraction.ROWS).share();
            scope.save(kept);
            return new Pass(plan, x, y, kept, w.operand(Contraction.ROWS).share());
        }
    }

    Gradients backward(StepScope scope, Pass pass, Matrix gradOutput) {
        LinearPlan plan = pass.plan();
        try (Quantized gradient = quantize(scope, plan.gradOutput(), gradOutput)) {
            Matrix product = multiply(scope, plan.gradWeight(), gradient.operand(Contraction.ROWS), pass.input());
            Matrix gradWeight = through(scope, plan.weightClip(), product, weight);
            product = multiply(scope, plan.gradInput(), gradient.operand(Contraction.COLUMNS), pass.weight());
            return new Gradients(through(scope, plan.inputClip(), product, pass.x()), gradWeight);
        }
    }

    private Matrix through(StepScope scope, Optional<StraightThrough> clip, Matrix product, Matrix x) {
        Tensor gradient = tensor(scope, product);
        backend.quantization().straightThrough(scope, clip.orElseThrow(), gradient, tensor(scope, x), state);
        return matrix(gradient);
    }

    /** Ends a step as an optimizer would. */
    void afterOptimizer(StepScope scope, int tokens, float learningRate, float clip, boolean skipped) {
        Tensor control = scope.allocate("control", DType.FP32, Shape.of(Control.count()));
        float[] values = HostTensor.floats(control); // [Control.count()]
        values[Control.GRADIENT_NORM.ordinal()] = 1;
        values[Control.CLIP.ordinal()] = clip;
        values[Control.SKIPPED.ordinal()] = skipped ? 1 : 0;
        values[Control.UPDATES.ordinal()] = trainedSteps + 1f;
        values[Control.LEARNING_RATE.ordinal()] = learningRate;
        run(scope, plan(tokens).afterOptimizer(), Map.of(StateInput.CONTROL, control));
        trainedSteps += skipped ? 0 : 1;
    }

    private void run(StepScope scope, StateProgram program, Map<StateInput, Tensor> inputs) {
        backend.quantization().run(scope, program, state, inputs);
    }

    /** {@return bytes that are live with this tag} */
    static long live(Backend backend, MemoryTag tag) {
        return backend.memory().live(tag);
    }

    /** {@return the scale of an operand's plane} */
    static float scale(Operand operand, int plane) {
        return HostTensor.floats(HostOperand.of(operand).planes().get(plane).scales())[0];
    }

    @Override
    public void close() {
        state.close();
    }
}
