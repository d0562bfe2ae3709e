package dev.nibble.quant.int8.fallback;

import dev.nibble.gemm.Epilogue;
import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Product;
import dev.nibble.gemm.Term;
import dev.nibble.quant.Contraction;
import dev.nibble.quant.OperandSpec;
import dev.nibble.quant.PlaneSource;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.quant.TensorCodec;
import dev.nibble.quant.Threshold;
import dev.nibble.spi.LinearPlan;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.PlanRequest;
import dev.nibble.state.StateProgram;
import dev.nibble.state.StateVector;
import dev.nibble.tensor.Role;
import java.util.List;
import java.util.Optional;

/**
 * A linear layer whose input has a residual plane in the blocks above a threshold.
 *
 * <p>{@code Y = (q1·s1 + q2·s2) · Wᵀ}: two INT8 products in a flagged block, one elsewhere. dY and W have no residual. The
 * weight gradient uses plane 0 of X (mode A, default), or both planes (mode B), which makes it the exact straight-through
 * gradient of the forward pass.
 *
 * @param settings how blocks fall back
 * @param in features of the input
 */
record FallbackLinear(FallbackSettings settings, long in) implements LinearQuantizer {
    private static final Term FIRST = new Term(0, 0);

    @Override
    public LinearPlan plan(PlanRequest request) {
        PlaneSpec nearest = Int8Linear.plane(settings.block(), Rounding.NEAREST_EVEN);
        PlaneSpec stochastic = Int8Linear.plane(settings.block(), Rounding.STOCHASTIC);
        List<PlaneSpec> withResidual = List.of(nearest, residual(nearest, threshold(request)));
        boolean modeB = settings.residualInGradWeight();
        QuantizeSpec input = new QuantizeSpec(
                Role.INPUT,
                List.of(
                        new OperandSpec(Contraction.COLUMNS, withResidual),
                        new OperandSpec(Contraction.ROWS, modeB ? withResidual : List.of(nearest))));
        List<Term> gradWeight = modeB ? List.of(FIRST, new Term(0, 1)) : List.of(FIRST);
        boolean controlled = settings.threshold().controlled();
        return new LinearPlan(
                input,
                QuantizeSpec.both(Role.WEIGHT, List.of(nearest)),
                QuantizeSpec.both(Role.GRAD_OUTPUT, List.of(stochastic)),
                new GemmSpec(Product.OUTPUT, List.of(FIRST, new Term(1, 0)), Epilogue.STORE),
                GemmSpec.of(Product.GRAD_INPUT, Epilogue.STORE),
                new GemmSpec(Product.GRAD_WEIGHT, gradWeight, Epilogue.ADD),
                controlled ? ThresholdController.afterForward() : StateProgram.EMPTY,
                controlled ? ThresholdController.afterOptimizer(settings) : StateProgram.EMPTY);
    }

    @Override
    public List<StateVector> state() {
        return switch (settings.threshold()) {
            case DELAYED, CAPPED -> ThresholdController.state(settings);
            case EXACT -> List.of();
            case OFF -> List.of(StateVector.scalar(ThresholdController.THRESHOLD, Float.POSITIVE_INFINITY));
            case ALL -> List.of(StateVector.scalar(ThresholdController.THRESHOLD, -1f)); // below every metric
        };
    }

    @Override
    public Optional<TensorCodec> context() {
        return settings.context();
    }

    private PlaneSpec residual(PlaneSpec first, Threshold threshold) {
        return new PlaneSpec(
                new PlaneSource.Residual(threshold, settings.criterion()),
                first.format(),
                first.granularity(),
                first.scaleRule(),
                first.rounding());
    }

    private Threshold threshold(PlanRequest request) {
        Threshold state = new Threshold.Delayed(ThresholdController.THRESHOLD);
        Threshold quantile = new Threshold.ExactQuantile(quantile(request.tokens()));
        return switch (settings.threshold()) {
            case DELAYED -> request.fresh() ? quantile : state;
            case EXACT -> quantile;
            case CAPPED ->
                request.fresh() ? quantile : new Threshold.Capped(ThresholdController.THRESHOLD, settings.rateMax());
            case OFF, ALL -> state;
        };
    }

    /**
     * The quantile above which the aimed-at share of the blocks lies. Above a nearest rank that is the share rounded down to
     * whole blocks: of a few blocks none. Then one falls back, if that is nearer to the share.
     */
    private double quantile(long tokens) {
        double rate = settings.rate();
        long blocks = settings.block().rowGroups(tokens) * settings.block().kGroups(in);
        boolean none = Math.ceil((1 - rate) * blocks) >= blocks;
        return none && rate * blocks > 0.5 ? (blocks - 1.5) / blocks : 1 - rate;
    }
}
