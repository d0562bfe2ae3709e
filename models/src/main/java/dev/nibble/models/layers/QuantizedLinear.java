package dev.nibble.models.layers;

import dev.nibble.gemm.GemmSpec;
import dev.nibble.quant.Contraction;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.TensorCodec;
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
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/**
 * A linear layer without bias, {@code Y = X · Wᵀ}, whose three products are computed as a {@link LinearQuantizer} plans.
 *
 * <p>X and dY are quantized once each; W once an optimizer step, and its operands are kept until
 * {@link #releaseWeight}. Between the passes it keeps only the operand of X that the weight gradient reads.
 */
public final class QuantizedLinear implements Linear, QuantizedLayer {
    private final PlanRunner runner;
    private final LinearLayer layer;
    private final Parameter weight;
    private final Deque<Saved> saved = new ArrayDeque<>();
    private Optional<CachedWeight> cachedWeight = Optional.empty();

    /** What the backward pass needs: the plan of the forward pass, and X for the weight gradient. */
    private record Saved(LinearPlan plan, Operand input) {}

    /** The operands of W; each a handle of its own, so that they outlive the scope they were made in. */
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
     * Makes the layer and its device state.
     *
     * @param backend computes
     * @param layer name and size
     * @param quantizer how
     * @param weight W, [out, in]; not owned: another layer may use it too
     */
    public QuantizedLinear(Backend backend, LinearLayer layer, LinearQuantizer quantizer, Parameter weight) {
        Shape needed = Shape.of(layer.out(), layer.in());
        if (!weight.value().shape().equals(needed)) {
            throw new IllegalArgumentException("weight %s of layer %s is %s, but must be %s"
                    .formatted(
                            weight.name(), layer.site().name(), weight.value().shape(), needed));
        }
        this.runner = new PlanRunner(backend, layer, quantizer);
        this.layer = layer;
        this.weight = weight;
    }

    @Override
    public LinearLayer layer() {
        return layer;
    }

    @Override
    public Optional<TensorCodec> context() {
        return runner.quantizer().context();
    }

    @Override
    public QuantizedLinear quantized() {
        return this;
    }

    /** {@return W, not owned} */
    Parameter weight() {
        return weight;
    }

    /** {@return the plan that is in force for so many tokens} */
    LinearPlan plan(long tokens, PlanRequest.Phase phase) {
        return runner.plan(tokens, phase);
    }

    @Override
    public DeviceState state() {
        return runner.state();
    }

    @Override
    public Set<String> idleState() {
        return runner.idleState();
    }

    @Override
    public Tensor statistics() {
        return runner.statistics();
    }

    @Override
    public void use(LinearQuantizer quantizer) {
        releaseWeight();
        runner.use(quantizer);
    }

    @Override
    public void observe(boolean value) {
        runner.observe(value);
    }

    /**
     * Computes Y. In training, keeps what {@link #backward} needs and gathers the quantizer's state.
     *
     * @param x FP32, [tokens, in]; not modified, and it must not be modified before the backward pass
     * @return Y, FP32, [tokens, out], owned by the caller
     */
    @Override
    public Tensor forward(StepScope scope, Tensor x) {
        StepContext context = scope.context();
        LinearPlan plan = plan(x.shape().rows(), context.phase());
        if (context.training() && context.microBatch() == 0 && !holds(plan.weight())) {
            // What is measured here decides about W's codes, too: once they exist it is settled for the step.
            runner.measure(scope, plan, x, weight.value());
        }
        Tensor y = scope.allocate(
                layer.site().name() + ".output", DType.FP32, Shape.of(x.shape().rows(), layer.out()));
        try (Quantized input = quantize(scope, PlanRunner.only(plan.input(), context.keepsContext()), x)) {
            CachedWeight operands = weight(scope, plan, context.mode() != StepContext.Mode.EVAL);
            multiply(
                    scope, plan.output(), input.operand(Contraction.COLUMNS), operands.operand(Contraction.COLUMNS), y);
            runner.note(scope, input.statistics());
            if (context.training()) {
                runner.afterForward(scope, plan, input.statistics(), operands.statistics());
            }
            if (context.keepsContext()) {
                Operand rows = input.operand(Contraction.ROWS).share();
                scope.save(rows);
                saved.push(new Saved(plan, rows));
            }
        }
        return y;
    }

    /**
     * {@link #backward(StepScope, Tensor, InputSource)} of a layer whose quantizer does not need X again.
     *
     * @throws IllegalStateException if it does
     */
    public Tensor backward(StepScope scope, Tensor gradOutput) {
        return backward(scope, gradOutput, _ -> {
            throw new IllegalStateException("the quantizer of layer "
                    + layer.site().name() + " needs the layer's input again, but its caller cannot make it");
        });
    }

    /**
     * Adds dW to the weight's gradient, and frees what the forward pass kept.
     *
     * @param gradOutput dY, FP32, [tokens, out]; not modified
     * @param again makes X again; asked at most once, and only if the plan has a learned step for X
     * @return dX, FP32, [tokens, in], owned by the caller
     * @throws IllegalStateException if no forward pass in training came before
     */
    @Override
    public Tensor backward(StepScope scope, Tensor gradOutput, InputSource again) {
        if (saved.isEmpty()) {
            throw new IllegalStateException("layer " + layer.site().name()
                    + " has no saved input, but its backward pass needs one; run a forward pass in training first");
        }
        Saved context = saved.pop();
        LinearPlan plan = context.plan();
        try (Quantized gradient = quantize(scope, plan.gradOutput(), gradOutput)) {
            runner.afterBackward(scope, plan, gradient.statistics());
            try (Operand input = context.input()) {
                addGradWeight(scope, plan, gradient.operand(Contraction.ROWS), input);
            }
            Tensor gradInput = scope.allocate(
                    layer.site().name() + ".gradInput",
                    DType.FP32,
                    Shape.of(gradOutput.shape().rows(), layer.in()));
            multiply(
                    scope,
                    plan.gradInput(),
                    gradient.operand(Contraction.COLUMNS),
                    weight(scope, plan, true).operand(Contraction.ROWS),
                    gradInput);
            return runner.through(scope, plan.input(), plan.inputClip(), layer.site(), gradInput, again);
        }
    }

    private void addGradWeight(StepScope scope, LinearPlan plan, Operand gradient, Operand input) {
        if (PlanRunner.passesAsItIs(plan.weight(), plan.weightClip())) {
            multiply(scope, plan.gradWeight(), gradient, input, weight.gradient());
            return;
        }
        Tensor product = scope.allocate(
                layer.site().name() + ".gradWeight",
                DType.FP32,
                weight.gradient().shape());
        runner.backend().neural().zero(scope, product);
        multiply(scope, plan.gradWeight(), gradient, input, product);
        try (Tensor gradWeight = runner.through(
                scope,
                plan.weight(),
                plan.weightClip(),
                layer.site(),
                product,
                _ -> weight.value().share())) {
            runner.backend().neural().addInPlace(scope, weight.gradient(), gradWeight);
        }
    }

    @Override
    public void afterOptimizer(StepScope scope, Tensor control) {
        runner.afterOptimizer(scope, control);
    }

    @Override
    public void releaseWeight() {
        cachedWeight.ifPresent(CachedWeight::close);
        cachedWeight = Optional.empty();
    }

    @Override
    public void markTrained() {
        runner.markTrained();
    }

    @Override
    public int trainedSteps() {
        return runner.trainedSteps();
    }

    @Override
    public void resumeAt(int steps) {
        runner.resumeAt(steps);
    }

    private CachedWeight weight(StepScope scope, LinearPlan plan, boolean keeps) {
        QuantizeSpec spec = PlanRunner.only(plan.weight(), keeps);
        if (!holds(spec)) {
            releaseWeight();
            try (Quantized quantized = quantize(scope, spec, weight.value())) {
                List<Operand> operands = spec.operands().stream()
                        .map(o -> quantized.operand(o.contraction()).share())
                        .toList();
                cachedWeight = Optional.of(
                        new CachedWeight(spec, operands, quantized.statistics().share()));
            }
        }
        return cachedWeight.orElseThrow();
    }

    private boolean holds(QuantizeSpec spec) {
        return cachedWeight.filter(cached -> cached.spec().equals(spec)).isPresent();
    }

    private Quantized quantize(StepScope scope, QuantizeSpec spec, Tensor x) {
        return runner.quantize(scope, spec, layer.site(), x);
    }

    private void multiply(StepScope scope, GemmSpec spec, Operand a, Operand b, Tensor d) {
        runner.multiply(scope, spec, layer.site(), a, b, d);
    }

    @Override
    public void close() {
        saved.forEach(context -> context.input().close());
        saved.clear();
        releaseWeight();
        runner.close();
    }
}
