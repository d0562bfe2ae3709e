package dev.nibble.quant.fp8;

import dev.nibble.gemm.Epilogue;
import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Product;
import dev.nibble.quant.Granularity;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.quant.ScaleRule;
import dev.nibble.spi.LinearPlan;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.PlanRequest;
import dev.nibble.state.StateProgram;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Role;
import java.util.List;

/**
 * A linear layer with FP8 codes in all three products and one scale a tensor.
 *
 * @param forward format of X and W
 * @param backward format of dY
 * @param powerOfTwo whether scales are powers of two
 */
record Fp8Linear(DType forward, DType backward, boolean powerOfTwo) implements LinearQuantizer {
    @Override
    public LinearPlan plan(PlanRequest request) {
        return new LinearPlan(
                QuantizeSpec.both(Role.INPUT, planes(forward)),
                QuantizeSpec.both(Role.WEIGHT, planes(forward)),
                QuantizeSpec.both(Role.GRAD_OUTPUT, planes(backward)),
                GemmSpec.of(Product.OUTPUT, Epilogue.STORE),
                GemmSpec.of(Product.GRAD_INPUT, Epilogue.STORE),
                GemmSpec.of(Product.GRAD_WEIGHT, Epilogue.ADD),
                StateProgram.EMPTY,
                StateProgram.EMPTY);
    }

    private List<PlaneSpec> planes(DType format) {
        return List.of(PlaneSpec.value(
                format, new Granularity.PerTensor(), new ScaleRule.TopOverAmax(powerOfTwo), Rounding.NEAREST_EVEN));
    }
}
