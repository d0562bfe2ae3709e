package org.example.tensor;

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

/** INT8 codes with one scale a tensor: {@code scale = amax / 127; code = round(x · (127 / amax))}. */
record TensorLinear(boolean stochastic) implements LinearQuantizer {
    @Override
    public LinearPlan plan(PlanRequest request) {
        Rounding gradient = stochastic ? Rounding.STOCHASTIC : Rounding.NEAREST_EVEN;
        return new LinearPlan(
                QuantizeSpec.both(Role.INPUT, planes(Rounding.NEAREST_EVEN)),
                QuantizeSpec.both(Role.WEIGHT, planes(Rounding.NEAREST_EVEN)),
                QuantizeSpec.both(Role.GRAD_OUTPUT, planes(gradient)),
                GemmSpec.of(Product.OUTPUT, Epilogue.STORE),
                GemmSpec.of(Product.GRAD_INPUT, Epilogue.STORE),
                GemmSpec.of(Product.GRAD_WEIGHT, Epilogue.ADD),
                StateProgram.EMPTY,
                StateProgram.EMPTY);
    }

    private static List<PlaneSpec> planes(Rounding rounding) {
        return List.of(PlaneSpec.value(DType.INT8, new Granularity.PerTensor(), new ScaleRule.AmaxOverTop(), rounding));
    }
}
