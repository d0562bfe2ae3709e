package dev.nibble.models.layers;

import dev.nibble.gemm.GemmSpec;
import dev.nibble.quant.Contraction;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Statistic;
import dev.nibble.quant.StraightThrough;
import dev.nibble.quant.Transform;
import dev.nibble.spi.Backend;
import dev.nibble.spi.DeviceState;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearPlan;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.Operand;
import dev.nibble.spi.PlanRequest;
import dev.nibble.spi.Quantized;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepScope;
import dev.nibble.state.StateInput;
import dev.nibble.state.StateProgram;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.HashMap;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/** The plans of one {@link LinearQuantizer}, the state that they share, and the operations they are made of. */
final class PlanRunner implements AutoCloseable {
    private final Backend backend;
    private final LinearLayer layer;
    private LinearQuantizer quantizer;
    private DeviceState state;
    private final Tensor statistics;
    private final Map<PlanRequest, LinearPlan> plans = new HashMap<>();
    private Optional<StateProgram> afterOptimizer = Optional.empty();
    private int trainedSteps;
    private boolean observed;

    PlanRunner(Backend backend, LinearLayer layer, LinearQuantizer quantizer) {
        this.backend = backend;
        this.layer = layer;
        this.quantizer = quantizer;
        this.state = backend.allocateState(quantizer.state());
        this.statistics = backend.allocate(
                layer.site().name() + ".statistics", DType.FP32, Shape.of(Statistic.count()), MemoryTag.STATE);
    }

    /** Plans by another quantizer from now on, with a state as in a new run. */
    void use(LinearQuantizer next) {
        quantizer = quantizer instanceof MaskedQuantizer ? new MaskedQuantizer(next) : next;
        state.close();
        state = backend.allocateState(quantizer.state());
        plans.clear();
        afterOptimizer = Optional.empty();
        trainedSteps = 0;
    }

    Backend backend() {
        return backend;
    }

    LinearLayer layer() {
        return layer;
    }

    LinearQuantizer quantizer() {
        return quantizer;
    }

    DeviceState state() {
        return state;
    }

    Tensor statistics() {
        return statistics;
    }

    /** {@return names of the state vectors that nothing reads} */
    Set<String> idleState() {
        return quantizer instanceof MaskedQuantizer masked
                ? masked.idleState(new PlanRequest(layer.in(), true))
                : Set.of();
    }

    void observe(boolean value) {
        observed = value;
    }

    void markTrained() {
        trainedSteps++;
    }

    int trainedSteps() {
        return trainedSteps;
    }

    void resumeAt(int steps) {
        trainedSteps = steps;
    }

    /** {@return whether the state is still being set up} */
    boolean fresh() {
        return trainedSteps < quantizer.freshSteps();
    }

    /** {@return the plan that is in force} */
    LinearPlan plan(long tokens, PlanRequest.Phase phase) {
        return plan(new PlanRequest(tokens, fresh(), phase));
    }

    LinearPlan plan(PlanRequest request) {
        return plans.computeIfAbsent(request, quantizer::plan);
    }

    /** Finds the block size of a transform and measures X, before anything is quantized in a step. */
    void measure(StepScope scope, LinearPlan plan, Tensor x, Tensor w) {
        plan.search().ifPresent(search -> backend.quantization().search(scope, search, x, w, state));
        run(scope, plan.beforeForward(), Map.of(StateInput.INPUT, x));
    }

    /** Notes the statistics of an input if they are observed. */
    void note(StepScope scope, Tensor inputStatistics) {
        if (observed) {
            backend.neural().zero(scope, statistics);
            backend.neural().addInPlace(scope, statistics, inputStatistics);
        }
    }

    /** Gathers what a forward pass in training has shown. */
    void afterForward(StepScope scope, LinearPlan plan, Tensor inputStatistics, Tensor weightStatistics) {
        run(
                scope,
                plan.afterForward(),
                Map.of(StateInput.INPUT_STATISTICS, inputStatistics, StateInput.WEIGHT_STATISTICS, weightStatistics));
        afterOptimizer = Optional.of(plan.afterOptimizer());
    }

    /** Gathers what a backward pass has shown. */
    void afterBackward(StepScope scope, LinearPlan plan, Tensor gradOutputStatistics) {
        run(scope, plan.afterBackward(), Map.of(StateInput.GRAD_OUTPUT_STATISTICS, gradOutputStatistics));
    }

    /** Advances the state by the program of the plan that ran last. */
    void afterOptimizer(StepScope scope, Tensor control) {
        afterOptimizer.ifPresent(program -> run(scope, program, Map.of(StateInput.CONTROL, control)));
    }

    private void run(StepScope scope, StateProgram program, Map<StateInput, Tensor> inputs) {
        if (!program.isEmpty()) {
            backend.quantization().run(scope, program, state, inputs);
        }
    }

    /** An evaluation needs no transposed operand; the codes of the other are the same without it. */
    static QuantizeSpec only(QuantizeSpec spec, boolean keeps) {
        return keeps ? spec : spec.only(Contraction.COLUMNS);
    }

    Quantized quantize(StepScope scope, QuantizeSpec spec, Site site, Tensor x) {
        return backend.quantization().quantize(scope, spec, site, x, state);
    }

    void multiply(StepScope scope, GemmSpec spec, Site site, Operand a, Operand b, Tensor d) {
        backend.gemm().multiply(scope, spec, site, a, b, d);
    }

    /** {@return whether the gradient with respect to what the codes mean is that of the tensor} */
    static boolean passesAsItIs(QuantizeSpec spec, Optional<StraightThrough> clip) {
        return clip.isEmpty() && spec.transform() instanceof Transform.Identity;
    }

    /**
     * Takes a product back through the quantizer of X or W.
     *
     * @param product gradient with respect to what the codes mean; consumed
     * @param again makes the tensor that was quantized
     * @return its gradient, owned by the caller
     */
    Tensor through(
            StepScope scope,
            QuantizeSpec spec,
            Optional<StraightThrough> clip,
            Site site,
            Tensor product,
            InputSource again) {
        if (clip.isPresent()) {
            try (Tensor tensor = again.recompute(scope)) {
                backend.quantization().straightThrough(scope, clip.orElseThrow(), product, tensor, state);
            }
            return product;
        }
        if (passesAsItIs(spec, clip)) {
            return product;
        }
        try (product) {
            return backend.quantization().transform(scope, spec.transform(), site, product, state);
        }
    }

    @Override
    public void close() {
        state.close();
        statistics.close();
    }
}
