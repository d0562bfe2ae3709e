package dev.nibble.testkit.run;

import dev.nibble.gemm.GemmSpec;
import dev.nibble.quant.Contraction;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.StraightThrough;
import dev.nibble.quant.TensorCodec;
import dev.nibble.quant.Transform;
import dev.nibble.spi.Backend;
import dev.nibble.spi.DeviceState;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearPlan;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.Operand;
import dev.nibble.spi.PlanRequest;
import dev.nibble.spi.Quantized;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.state.StateInput;
import dev.nibble.state.StateProgram;
import dev.nibble.state.StateVector;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import dev.nibble.testkit.data.Matrix;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;

/**
 * A linear layer without bias that runs the plans of a {@link LinearQuantizer} in the order that the SPI states: search,
 * before forward, X, W, output, after forward; dY, after backward, gradWeight and gradInput, each taken back through its
 * quantizer; after the optimizer.
 */
public final class PlannedLinear implements AutoCloseable {
    private final Backend backend;
    private final LinearLayer layer;
    private final LinearQuantizer quantizer;
    private final Tensor weight;
    private final Tensor gradient;
    private final DeviceState state;
    private final Deque<Saved> saved = new ArrayDeque<>();
    private Optional<CachedWeight> cachedWeight = Optional.empty();
    private Optional<StateProgram> afterOptimizer = Optional.empty();
    private int trainedSteps;

    /** What the backward pass needs of a forward pass. */
    private record Saved(LinearPlan plan, Operand input, Tensor x) {}

    /** The operands of W, handles of their own: the micro-batches of a step, each in a scope of its own, share them. */
    private record CachedWeight(QuantizeSpec spec, List<Operand> operands, Tensor statistics) {
        Operand operand(Contraction contraction) {
            return operands.stream()
                    .filter(o -> o.spec().contraction() == contraction)
                    .findFirst()
                    .orElseThrow();
        }

        void close() {
            operands.forEach(Operand::close);
            statistics.close();
        }
    }

    /**
     * Makes the layer, its gradient and its state.
     *
     * @param backend computes
     * @param layer name and size
     * @param quantizer how
     * @param weight W, [out, in]
     */
    public PlannedLinear(Backend backend, LinearLayer layer, LinearQuantizer quantizer, Matrix weight) {
        this.backend = backend;
        this.layer = layer;
        this.quantizer = quantizer;
        Shape shape = Shape.of(layer.out(), layer.in());
        this.weight = backend.allocate(layer.site().name() + ".weight", DType.FP32, shape, MemoryTag.PARAMETER);
        this.gradient = backend.allocate(layer.site().name() + ".gradient", DType.FP32, shape, MemoryTag.GRADIENT);
        this.state = backend.allocateState(quantizer.state());
        backend.write(this.weight, weight.values());
    }

    /** {@return name and size} */
    public LinearLayer layer() {
        return layer;
    }

    /** {@return W, FP32, [out, in]} */
    public Tensor weight() {
        return weight;
    }

    /** {@return dW, FP32, [out, in]} */
    public Tensor gradient() {
        return gradient;
    }

    /** {@return the quantizer's state} */
    public DeviceState state() {
        return state;
    }

    /** {@return names of the state vectors that a training step measures anew before it uses them} */
    public Set<String> measured(long tokens, PlanRequest.Phase phase) {
        LinearPlan plan = plan(tokens, phase);
        Set<String> names = new TreeSet<>(plan.beforeForward().results().keySet());
        plan.search().ifPresent(search -> names.add(search.state()));
        return names;
    }

    /** {@return the quantizer's state with its present values; not inside a step} */
    public List<StateVector> stateVectors() {
        List<StateVector> vectors = new ArrayList<>();
        state.all().forEach((name, vector) -> {
            List<Float> values = new ArrayList<>();
            for (float value : backend.readFloats(vector)) {
                values.add(value);
            }
            vectors.add(new StateVector(name, values));
        });
        return vectors;
    }

    /** {@return training steps that were not skipped} */
    public int trainedSteps() {
        return trainedSteps;
    }

    /** Says how many training steps the state has behind it. */
    public void resumeAfter(int steps) {
        trainedSteps = steps;
    }

    /** {@return how the operation that makes this layer's input keeps its own input} */
    public Optional<TensorCodec> context() {
        return quantizer.context();
    }

    /** {@return the plan that is in force} */
    public LinearPlan plan(long tokens, PlanRequest.Phase phase) {
        return quantizer.plan(new PlanRequest(tokens, trainedSteps < quantizer.freshSteps(), phase));
    }

    /**
     * {@return Y, FP32, [tokens, out], owned by the caller} Keeps what {@link #backward} needs, unless the step evaluates.
     *
     * @param x FP32, [tokens, in]
     */
    public Tensor forward(StepScope scope, Tensor x) {
        StepContext context = scope.context();
        LinearPlan plan = plan(x.shape().rows(), context.phase());
        if (context.training() && context.microBatch() == 0) {
            plan.search().ifPresent(search -> backend.quantization().search(scope, search, x, weight, state));
            run(scope, plan.beforeForward(), Map.of(StateInput.INPUT, x));
        }
        Tensor y = scope.allocate(
                layer.site().name() + ".output", DType.FP32, Shape.of(x.shape().rows(), layer.out()));
        try (Quantized input = quantize(scope, only(plan.input(), context), x)) {
            CachedWeight operands = weight(scope, plan);
            Operand columns = input.operand(Contraction.COLUMNS);
            multiply(scope, plan.output(), columns, operands.operand(Contraction.COLUMNS), y);
            if (context.training()) {
                run(
                        scope,
                        plan.afterForward(),
                        Map.of(
                                StateInput.INPUT_STATISTICS,
                                input.statistics(),
                                StateInput.WEIGHT_STATISTICS,
                                operands.statistics()));
                afterOptimizer = Optional.of(plan.afterOptimizer());
            }
            if (context.keepsContext()) {
                Operand rows = input.operand(Contraction.ROWS).share();
                scope.save(rows);
                saved.push(new Saved(plan, rows, x.share()));
            }
        }
        return y;
    }

    /**
     * {@return dX, FP32, [tokens, in], owned by the caller} Adds dW to the gradient.
     *
     * @param gradOutput dY, FP32, [tokens, out]
     */
    public Tensor backward(StepScope scope, Tensor gradOutput) {
        Saved context = saved.pop();
        try (Operand _ = context.input();
                Tensor _ = context.x()) {
            return backward(scope, gradOutput, context);
        }
    }

    /**
     * {@link #backward}, keeping what the forward pass has kept: it can run again, with the draws of another step.
     *
     * @param gradOutput dY, FP32, [tokens, out]
     */
    public Tensor repeatBackward(StepScope scope, Tensor gradOutput) {
        return backward(scope, gradOutput, saved.element());
    }

    /** {@return the operand of X that the next backward pass reads, not owned} */
    public Operand keptInput() {
        return saved.element().input();
    }

    /** {@return the operand of W that the next backward pass reads, not owned} */
    public Operand keptWeight() {
        return cachedWeight.orElseThrow().operand(Contraction.ROWS);
    }

    private Tensor backward(StepScope scope, Tensor gradOutput, Saved context) {
        LinearPlan plan = context.plan();
        Tensor gradInput = scope.allocate(
                layer.site().name() + ".gradInput", DType.FP32, context.x().shape());
        try (Quantized dy = quantize(scope, plan.gradOutput(), gradOutput)) {
            run(scope, plan.afterBackward(), Map.of(StateInput.GRAD_OUTPUT_STATISTICS, dy.statistics()));
            addGradWeight(scope, plan, dy.operand(Contraction.ROWS), context.input());
            Operand rows = weight(scope, plan).operand(Contraction.ROWS);
            multiply(scope, plan.gradInput(), dy.operand(Contraction.COLUMNS), rows, gradInput);
            return through(scope, plan.input(), plan.inputClip(), gradInput, context.x());
        }
    }

    private void addGradWeight(StepScope scope, LinearPlan plan, Operand dy, Operand input) {
        if (plan.weightClip().isEmpty() && isIdentity(plan.weight())) {
            multiply(scope, plan.gradWeight(), dy, input, gradient);
            return;
        }
        Tensor product = scope.allocate(layer.site().name() + ".gradWeight", DType.FP32, gradient.shape());
        backend.neural().zero(scope, product);
        multiply(scope, plan.gradWeight(), dy, input, product);
        try (Tensor own = through(scope, plan.weight(), plan.weightClip(), product, weight)) {
            backend.neural().addInPlace(scope, gradient, own);
        }
    }

    /** Takes the gradient of what the codes mean, which it consumes, back to that of the tensor. */
    private Tensor through(
            StepScope scope, QuantizeSpec spec, Optional<StraightThrough> clip, Tensor product, Tensor tensor) {
        if (clip.isPresent()) {
            backend.quantization().straightThrough(scope, clip.orElseThrow(), product, tensor, state);
            return product;
        }
        if (isIdentity(spec)) {
            return product;
        }
        try (product) {
            return backend.quantization().transform(scope, spec.transform(), layer.site(), product, state);
        }
    }

    private static boolean isIdentity(QuantizeSpec spec) {
        return spec.transform() instanceof Transform.Identity;
    }

    /** Advances the state; once a training step, after the control vector is filled. */
    public void afterOptimizer(StepScope scope, Tensor control) {
        afterOptimizer.ifPresent(program -> run(scope, program, Map.of(StateInput.CONTROL, control)));
        afterOptimizer = Optional.empty();
    }

    /** Frees what forward passes kept for a backward pass that does not come. */
    public void forget() {
        saved.forEach(context -> {
            context.input().close();
            context.x().close();
        });
        saved.clear();
    }

    /** Frees the operands of W: it has changed, or is used no more. */
    public void releaseWeight() {
        cachedWeight.ifPresent(CachedWeight::close);
        cachedWeight = Optional.empty();
    }

    private void run(StepScope scope, StateProgram program, Map<StateInput, Tensor> inputs) {
        if (!program.isEmpty()) {
            backend.quantization().run(scope, program, state, inputs);
        }
    }

    private CachedWeight weight(StepScope scope, LinearPlan plan) {
        QuantizeSpec spec = only(plan.weight(), scope.context());
        if (cachedWeight.filter(cached -> cached.spec().equals(spec)).isEmpty()) {
            releaseWeight();
            try (Quantized quantized = quantize(scope, spec, weight)) {
                List<Operand> operands = spec.operands().stream()
                        .map(o -> quantized.operand(o.contraction()).share())
                        .toList();
                cachedWeight = Optional.of(
                        new CachedWeight(spec, operands, quantized.statistics().share()));
            }
        }
        return cachedWeight.orElseThrow();
    }

    /** An evaluation needs no transposed operand; the codes of the other are the same without it. */
    private static QuantizeSpec only(QuantizeSpec spec, StepContext context) {
        return context.keepsContext() ? spec : spec.only(Contraction.COLUMNS);
    }

    private Quantized quantize(StepScope scope, QuantizeSpec spec, Tensor x) {
        return backend.quantization().quantize(scope, spec, layer.site(), x, state);
    }

    private void multiply(StepScope scope, GemmSpec gemm, Operand a, Operand b, Tensor d) {
        backend.gemm().multiply(scope, gemm, layer.site(), a, b, d);
    }

    @Override
    public void close() {
        forget();
        releaseWeight();
        state.close();
        weight.close();
        gradient.close();
    }
}
