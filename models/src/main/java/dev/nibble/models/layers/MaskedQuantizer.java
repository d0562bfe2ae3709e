package dev.nibble.models.layers;

import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.StraightThrough;
import dev.nibble.quant.TensorCodec;
import dev.nibble.quant.Transform;
import dev.nibble.spi.LinearPlan;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.PlanRequest;
import dev.nibble.state.StateVector;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;

/**
 * The plans of a quantizer for an input that is 0 where a mask hides a feature, without the transform that would mix the features: a
 * rounding error of the others would give a hidden one a weight, and a causal model would see the future.
 *
 * @param quantizer makes the plans
 */
record MaskedQuantizer(LinearQuantizer quantizer) implements LinearQuantizer {
    @Override
    public LinearPlan plan(PlanRequest request) {
        LinearPlan plan = quantizer.plan(request);
        boolean mixes = plan.search().isPresent() || mixes(plan.input()) || mixes(plan.weight());
        return mixes
                ? new LinearPlan(
                        plan.input().with(new Transform.Identity()),
                        plan.weight().with(new Transform.Identity()),
                        plan.gradOutput(),
                        plan.output(),
                        plan.gradInput(),
                        plan.gradWeight(),
                        Optional.empty(),
                        plan.inputClip().map(MaskedQuantizer::withoutTransform),
                        plan.weightClip().map(MaskedQuantizer::withoutTransform),
                        plan.beforeForward(),
                        plan.afterForward(),
                        plan.afterBackward(),
                        plan.afterOptimizer())
                : plan;
    }

    /**
     * {@return names of the state vectors that nothing reads since the transform is left out: its own, and what the quantizer names after
     * it}
     *
     * @param request any
     */
    Set<String> idleState(PlanRequest request) {
        LinearPlan plan = quantizer.plan(request);
        Set<String> idle = new TreeSet<>();
        for (QuantizeSpec spec : List.of(plan.input(), plan.weight())) {
            if (spec.transform() instanceof Transform.BlockHadamard hadamard) {
                state().stream()
                        .map(StateVector::name)
                        .filter(name -> name.startsWith(hadamard.state()))
                        .forEach(idle::add);
            }
        }
        return idle;
    }

    private static boolean mixes(QuantizeSpec spec) {
        return switch (spec.transform()) {
            case Transform.BlockHadamard _ -> true;
            case Transform.Identity _, Transform.ColumnScale _ -> false;
        };
    }

    private static StraightThrough withoutTransform(StraightThrough clip) {
        return new StraightThrough(new Transform.Identity(), clip.step(), clip.stepGradient(), clip.top());
    }

    @Override
    public int freshSteps() {
        return quantizer.freshSteps();
    }

    @Override
    public Optional<TensorCodec> context() {
        return quantizer.context();
    }

    @Override
    public List<StateVector> state() {
        return quantizer.state();
    }
}
