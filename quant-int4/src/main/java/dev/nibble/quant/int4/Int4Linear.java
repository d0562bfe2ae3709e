package dev.nibble.quant.int4;

import dev.nibble.gemm.Epilogue;
import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Product;
import dev.nibble.gemm.Term;
import dev.nibble.quant.Granularity;
import dev.nibble.quant.HadamardSearch;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.quant.ScaleRule;
import dev.nibble.quant.StraightThrough;
import dev.nibble.quant.Transform;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearPlan;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.PlanRequest;
import dev.nibble.state.StateVector;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Role;
import java.util.ArrayList;
import java.util.List;

/**
 * A linear layer in INT4. With H the block Hadamard transform, q(x; s) = clamp(rint(x / s), ±7), and dY ≈ s1·h + s0·l in
 * two digits:
 *
 * <p>{@code Y = (sX·sW) · q(XH; sX) · q(WH; sW)ᵀ}, where H cancels; {@code dX = ((sW · dY · q(WH)) where XH is not clipped) · H};
 * {@code dW = ((sX · dYᵀ · q(XH)) where WH is not clipped) · H}. Both gradients sum sampled rows of h and of l, weighted
 * so that their means are those of all rows. sX and sW, one a tensor, are learned ({@link LearnedStep}). Source: Xi et al.
 * 2023, arXiv:2306.11987, sections 3 and 4; codes are symmetric as in the paper, not -8..7 as in its code.
 *
 * @param settings what all layers have in common
 * @param log2 of the block size that the layer starts with
 * @param candidates block sizes to search among; none without a search
 * @param transformed whether there is a transform at all
 */
record Int4Linear(Int4Settings settings, int log2, List<Integer> candidates, boolean transformed)
        implements LinearQuantizer {
    private static final int TOP = 7;
    private static final List<Term> DIGITS = List.of(new Term(0, 0), new Term(1, 0));

    static Int4Linear of(Int4Settings settings, HadamardOption hadamard, LinearLayer layer) {
        boolean transformed = !(hadamard instanceof HadamardOption.None);
        return new Int4Linear(settings, hadamard.log2(layer), hadamard.candidates(layer), transformed);
    }

    @Override
    public LinearPlan plan(PlanRequest request) {
        LinearPlan plan = new LinearPlan(
                        operand(Role.INPUT, LearnedStep.INPUT, request.fresh()),
                        operand(Role.WEIGHT, LearnedStep.WEIGHT, request.fresh()),
                        QuantizeSpec.both(Role.GRAD_OUTPUT, PlaneSpec.digits(settings.split())),
                        GemmSpec.of(Product.OUTPUT, Epilogue.STORE),
                        new GemmSpec(Product.GRAD_INPUT, DIGITS, settings.sampling(), Epilogue.STORE),
                        new GemmSpec(Product.GRAD_WEIGHT, DIGITS, settings.sampling(), Epilogue.ADD),
                        StepPrograms.afterForward(),
                        StepPrograms.afterOptimizer(settings, request.fresh(), searches()))
                .withClips(clip(LearnedStep.INPUT), clip(LearnedStep.WEIGHT));
        return request.fresh() && searches()
                ? plan.withSearch(new HadamardSearch(candidates, TOP, StepPrograms.HADAMARD))
                : plan;
    }

    @Override
    public int freshSteps() {
        return settings.coldStart();
    }

    @Override
    public List<StateVector> state() {
        List<StateVector> state = new ArrayList<>();
        state.addAll(LearnedStep.INPUT.state());
        state.addAll(LearnedStep.WEIGHT.state());
        state.addAll(StepPrograms.state(log2, searches()));
        return List.copyOf(state);
    }

    private boolean searches() {
        return !candidates.isEmpty();
    }

    private QuantizeSpec operand(Role role, LearnedStep step, boolean fresh) {
        ScaleRule first = new ScaleRule.MeanMagnitude();
        ScaleRule rule = fresh ? first : new ScaleRule.Given(step.value(), ScaleRule.Application.SCALE, first);
        PlaneSpec plane = PlaneSpec.value(DType.INT4, new Granularity.PerTensor(), rule, Rounding.NEAREST_EVEN);
        return QuantizeSpec.both(role, List.of(plane)).with(transform());
    }

    private StraightThrough clip(LearnedStep step) {
        return new StraightThrough(transform(), step.value(), step.gradient(), TOP);
    }

    private Transform transform() {
        return transformed ? new Transform.BlockHadamard(StepPrograms.HADAMARD) : new Transform.Identity();
    }
}
