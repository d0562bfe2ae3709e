package dev.nibble.spi;

import dev.nibble.gemm.Epilogue;
import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Product;
import dev.nibble.gemm.Sampling;
import dev.nibble.gemm.Term;
import dev.nibble.quant.Contraction;
import dev.nibble.quant.HadamardSearch;
import dev.nibble.quant.OperandSpec;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.ScaleRule;
import dev.nibble.quant.StraightThrough;
import dev.nibble.quant.Transform;
import dev.nibble.state.StateProgram;
import dev.nibble.tensor.Role;
import java.util.List;
import java.util.Optional;

/**
 * Everything a layer does in a step, as data: three tensors to quantize, three products, and programs that advance the
 * layer's state. The layer enqueues it; nothing in it needs a value from the device.
 *
 * @param input X, once for all linears that read it
 * @param weight W, once an optimizer step
 * @param gradOutput dY, once for both products
 * @param output Y = X · Wᵀ
 * @param gradInput dX = dY · W
 * @param gradWeight dW = dYᵀ · X
 * @param search finds the block size of a transform, in the first forward pass of a step, before anything is quantized
 * @param inputClip the backward pass through the quantizer of X; without it dX is the product, passed through the transform
 *     of X. It needs X again: the layer asks its caller
 * @param weightClip the backward pass through the quantizer of W; without it dW is the product, passed through the
 *     transform of W
 * @param beforeForward measures X; run in the first forward pass of a step in training, before anything is quantized,
 *     may read {@code INPUT}
 * @param afterForward gathers over micro-batches; run after each forward pass in training, may read
 *     {@code INPUT_STATISTICS} and {@code WEIGHT_STATISTICS}
 * @param afterBackward gathers over micro-batches; run after each backward pass, may read {@code GRAD_OUTPUT_STATISTICS}
 * @param afterOptimizer advances the state; run once an optimizer step, may read {@code CONTROL}
 */
public record LinearPlan(
        QuantizeSpec input,
        QuantizeSpec weight,
        QuantizeSpec gradOutput,
        GemmSpec output,
        GemmSpec gradInput,
        GemmSpec gradWeight,
        Optional<HadamardSearch> search,
        Optional<StraightThrough> inputClip,
        Optional<StraightThrough> weightClip,
        StateProgram beforeForward,
        StateProgram afterForward,
        StateProgram afterBackward,
        StateProgram afterOptimizer) {
    /** Makes a plan whose gradients pass straight through the quantizers, and that gathers nothing from dY. */
    public LinearPlan(
            QuantizeSpec input,
            QuantizeSpec weight,
            QuantizeSpec gradOutput,
            GemmSpec output,
            GemmSpec gradInput,
            GemmSpec gradWeight,
            StateProgram afterForward,
            StateProgram afterOptimizer) {
        this(
                input,
                weight,
                gradOutput,
                output,
                gradInput,
                gradWeight,
                Optional.empty(),
                Optional.empty(),
                Optional.empty(),
                StateProgram.EMPTY,
                afterForward,
                StateProgram.EMPTY,
                afterOptimizer);
    }

    /** Checks that each product finds its planes. */
    public LinearPlan {
        requireForm("output", output, Product.OUTPUT, Epilogue.STORE);
        requireForm("gradInput", gradInput, Product.GRAD_INPUT, Epilogue.STORE);
        requireForm(
                "gradWeight", gradWeight, Product.GRAD_WEIGHT, Epilogue.ADD); // micro-batches and tied weights add up
        for (GemmSpec gemm : List.of(output, gradInput, gradWeight)) {
            Product product = gemm.product();
            int planesA = operand(product.roleA(), product.contractionA(), input, weight, gradOutput)
                    .planes()
                    .size();
            int planesB = operand(product.roleB(), product.contractionB(), input, weight, gradOutput)
                    .planes()
                    .size();
            for (Term term : gemm.terms()) {
                if (term.planeA() >= planesA || term.planeB() >= planesB) {
                    throw new IllegalArgumentException("%s uses planes %d and %d, but its operands have %d and %d"
                            .formatted(product.label(), term.planeA(), term.planeB(), planesA, planesB));
                }
            }
        }
    }

    private static void requireForm(String name, GemmSpec gemm, Product product, Epilogue epilogue) {
        if (gemm.product() != product || gemm.epilogue() != epilogue) {
            throw new IllegalArgumentException("%s is a spec of %s with %s, but must be one of %s with %s"
                    .formatted(name, gemm.product().label(), gemm.epilogue(), product.label(), epilogue));
        }
    }

    /** {@return this plan with another program after each backward pass} */
    public LinearPlan withAfterBackward(StateProgram program) {
        return new LinearPlan(
                input,
                weight,
                gradOutput,
                output,
                gradInput,
                gradWeight,
                search,
                inputClip,
                weightClip,
                beforeForward,
                afterForward,
                program,
                afterOptimizer);
    }

    /** {@return this plan with learned steps for X and W} */
    public LinearPlan withClips(StraightThrough forInput, StraightThrough forWeight) {
        return new LinearPlan(
                input,
                weight,
                gradOutput,
                output,
                gradInput,
                gradWeight,
                search,
                Optional.of(forInput),
                Optional.of(forWeight),
                beforeForward,
                afterForward,
                afterBackward,
                afterOptimizer);
    }

    /** {@return this plan with a search for the block size of its transform} */
    public LinearPlan withSearch(HadamardSearch newSearch) {
        return new LinearPlan(
                input,
                weight,
                gradOutput,
                output,
                gradInput,
                gradWeight,
                Optional.of(newSearch),
                inputClip,
                weightClip,
                beforeForward,
                afterForward,
                afterBackward,
                afterOptimizer);
    }

    /** {@return this plan with another program before anything is quantized in a step} */
    public LinearPlan withBeforeForward(StateProgram program) {
        return new LinearPlan(
                input,
                weight,
                gradOutput,
                output,
                gradInput,
                gradWeight,
                search,
                inputClip,
                weightClip,
                program,
                afterForward,
                afterBackward,
                afterOptimizer);
    }

    /** {@return the spec of one of the three products} */
    public GemmSpec gemm(Product product) {
        return switch (product) {
            case OUTPUT -> output;
            case GRAD_INPUT -> gradInput;
            case GRAD_WEIGHT -> gradWeight;
        };
    }

    /** {@return how the tensor with this role is quantized} */
    public QuantizeSpec quantize(Role role) {
        return switch (role) {
            case INPUT -> input;
            case WEIGHT -> weight;
            case GRAD_OUTPUT -> gradOutput;
            case OTHER -> throw new IllegalArgumentException("a linear layer has no operand with role other");
        };
    }

    /**
     * {@return whether the products of some rows of X and dY are those rows of the products of all, and no state hears of rows} So they may
     * be computed some rows at a time: X and dY have neither scales nor draws nor learned steps.
     */
    public boolean separatesRows() {
        return storesValues(input)
                && storesValues(gradOutput)
                && gradInput.sampling() == Sampling.NONE
                && gradWeight.sampling() == Sampling.NONE
                && search.isEmpty()
                && inputClip.isEmpty()
                && weightClip.isEmpty()
                && List.of(beforeForward, afterForward, afterBackward).stream().allMatch(StateProgram::isEmpty);
    }

    private static boolean storesValues(QuantizeSpec spec) {
        return spec.transform() instanceof Transform.Identity
                && spec.operands().stream()
                        .flatMap(operand -> operand.planes().stream())
                        .allMatch(plane -> plane.scaleRule() instanceof ScaleRule.Unit
                                && plane.equals(PlaneSpec.unscaled(plane.format())));
    }

    private static OperandSpec operand(
            Role role, Contraction contraction, QuantizeSpec input, QuantizeSpec weight, QuantizeSpec gradOutput) {
        return switch (role) {
            case INPUT -> input.operand(contraction);
            case WEIGHT -> weight.operand(contraction);
            case GRAD_OUTPUT -> gradOutput.operand(contraction);
            case OTHER -> throw new IllegalArgumentException("a linear layer has no operand with role other");
        };
    }
}
