package dev.nibble.quant.luq;

import dev.nibble.gemm.Epilogue;
import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Product;
import dev.nibble.gemm.Term;
import dev.nibble.quant.Contraction;
import dev.nibble.quant.OperandSpec;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.spi.LinearPlan;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.PlanRequest;
import dev.nibble.state.StateProgram;
import dev.nibble.state.StateVector;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Role;
import java.util.List;
import java.util.stream.IntStream;

/**
 * A linear layer under LUQ: {@code Y = Q(X)·Q(W)ᵀ}, {@code dX = L(dY)·Q(W)}, {@code dW = L(dY)ᵀ·Q(X)}.
 *
 * <p>Q rounds to the nearest of a uniform grid ({@link IntegerMode}), once a step: the same codes serve both passes, so that the
 * gradients are those of the network that ran. They pass straight through Q, also where it clamps.
 *
 * <p>L draws from 0, ±alpha·2^0, …, ±alpha·2^E, {@code alpha = max|dY|·2^-E}: with t = |x|/alpha between neighbours l &lt; u it takes u
 * with probability (t - l)/(u - l), from one uniform number an element. So E[L(x)] = x: in FP32, with draws on a grid of 2^-24,
 * within 2^-24·(alpha + |x|), as long as no element is beyond the top, which only a maximum in hindsight allows.
 *
 * <p>A product may average N draws (stochastic multiple sampling): N terms of weight 1/N, and N times less variance. Both products
 * use the same draws, the first ones.
 *
 * <p>In the phase {@link PlanRequest.Phase#FINE_TUNE} X and dY are FP32, and W keeps its codes, in both products that multiply by
 * it: the paper says so of the forward pass, and dX by another W would not be the gradient of that pass. Evaluation quantizes X
 * again, which the fine-tuned network has not seen; by option X therefore keeps its codes, and dY alone is FP32.
 *
 * <p>Source: Chmiel et al. 2021, arXiv:2112.10769. Its bins allow several readings of E; 6, our default, is the largest that fills
 * a nibble.
 *
 * @param settings what was chosen
 * @param nonNegativeInput whether X has no negative element
 */
record LuqLinear(LuqSettings settings, boolean nonNegativeInput) implements LinearQuantizer {
    private static final List<PlaneSpec> FP32 = List.of(PlaneSpec.unscaled(DType.FP32));

    @Override
    public LinearPlan plan(PlanRequest request) {
        return switch (request.phase()) {
            case LOW_BIT -> lowBit();
            case FINE_TUNE ->
                plan(
                        settings.inputStaysQuantized() ? quantizedInput() : FP32,
                        QuantizeSpec.both(Role.GRAD_OUTPUT, FP32),
                        1,
                        1,
                        StateProgram.EMPTY,
                        StateProgram.EMPTY);
        };
    }

    private List<PlaneSpec> quantizedInput() {
        return List.of(settings.integers().input(nonNegativeInput));
    }

    private LinearPlan lowBit() {
        int forInput = settings.samplesGradInput();
        int forWeight = settings.samplesGradWeight();
        boolean several = Math.max(forInput, forWeight) > 1;
        PlaneSpec one = settings.gradientPlane();
        QuantizeSpec gradOutput = new QuantizeSpec(
                Role.GRAD_OUTPUT,
                List.of(
                        new OperandSpec(Contraction.COLUMNS, several ? one.samples(forInput) : List.of(one)),
                        new OperandSpec(Contraction.ROWS, several ? one.samples(forWeight) : List.of(one))));
        return plan(
                quantizedInput(),
                gradOutput,
                forInput,
                forWeight,
                settings.hindsight().isPresent() ? HindsightMaximum.afterBackward() : StateProgram.EMPTY,
                settings.hindsight()
                        .map(eta -> HindsightMaximum.afterOptimizer(eta, settings.ownMaximum()))
                        .orElse(StateProgram.EMPTY));
    }

    private LinearPlan plan(
            List<PlaneSpec> input,
            QuantizeSpec gradOutput,
            int forInput,
            int forWeight,
            StateProgram afterBackward,
            StateProgram afterOptimizer) {
        return new LinearPlan(
                        QuantizeSpec.both(Role.INPUT, input),
                        QuantizeSpec.both(
                                Role.WEIGHT, List.of(settings.integers().weight())),
                        gradOutput,
                        GemmSpec.of(Product.OUTPUT, Epilogue.STORE),
                        new GemmSpec(Product.GRAD_INPUT, mean(forInput), Epilogue.STORE),
                        new GemmSpec(Product.GRAD_WEIGHT, mean(forWeight), Epilogue.ADD),
                        StateProgram.EMPTY,
                        afterOptimizer)
                .withAfterBackward(afterBackward);
    }

    /** {@return terms that average draws of dY, which is the left operand of both products} */
    private static List<Term> mean(int draws) {
        return IntStream.range(0, draws)
                .mapToObj(draw -> new Term(draw, 0, 1f / draws, 1))
                .toList();
    }

    @Override
    public List<StateVector> state() {
        return settings.hindsight().isPresent() ? HindsightMaximum.state() : List.of();
    }
}
