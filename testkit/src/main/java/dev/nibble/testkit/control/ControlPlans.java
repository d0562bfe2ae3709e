package dev.nibble.testkit.control;

import dev.nibble.gemm.Epilogue;
import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Product;
import dev.nibble.gemm.Term;
import dev.nibble.quant.Granularity;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.quant.ScaleRule;
import dev.nibble.spi.LinearPlan;
import dev.nibble.state.StateProgram;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Role;
import java.util.List;
import java.util.stream.IntStream;

/** The plans that the controls vary. */
final class ControlPlans {
    private ControlPlans() {}

    /** {@return codes of a format with one scale a tensor, {@code amax / top}} */
    static List<PlaneSpec> tensor(DType format, Rounding rounding) {
        return List.of(PlaneSpec.value(format, new Granularity.PerTensor(), new ScaleRule.AmaxOverTop(), rounding));
    }

    /** {@return a plan of one plane of X and W, to nearest, and these planes of dY, whose sum enters both gradients} */
    static LinearPlan of(DType format, List<PlaneSpec> gradOutput) {
        return of(
                QuantizeSpec.both(Role.INPUT, tensor(format, Rounding.NEAREST_EVEN)),
                QuantizeSpec.both(Role.WEIGHT, tensor(format, Rounding.NEAREST_EVEN)),
                QuantizeSpec.both(Role.GRAD_OUTPUT, gradOutput),
                gradOutput.size());
    }

    /** {@return a plan without state} */
    static LinearPlan of(QuantizeSpec input, QuantizeSpec weight, QuantizeSpec gradOutput, int planes) {
        List<Term> terms =
                IntStream.range(0, planes).mapToObj(plane -> new Term(plane, 0)).toList();
        return new LinearPlan(
                input,
                weight,
                gradOutput,
                GemmSpec.of(Product.OUTPUT, Epilogue.STORE),
                new GemmSpec(Product.GRAD_INPUT, terms, Epilogue.STORE),
                new GemmSpec(Product.GRAD_WEIGHT, terms, Epilogue.ADD),
                StateProgram.EMPTY,
                StateProgram.EMPTY);
    }
}
