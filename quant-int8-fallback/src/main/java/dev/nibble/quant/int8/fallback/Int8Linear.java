package dev.nibble.quant.int8.fallback;

import dev.nibble.gemm.Epilogue;
import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Product;
import dev.nibble.quant.Granularity;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.quant.ScaleRule;
import dev.nibble.quant.TensorCodec;
import dev.nibble.spi.LinearPlan;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.PlanRequest;
import dev.nibble.state.StateProgram;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Role;
import java.util.List;
import java.util.Optional;

/**
 * A linear layer with INT8 codes of one granularity in all three products, without state.
 *
 * @param granularity which codes share a scale
 * @param context how the operation before it keeps its input
 * @param forward how X and W are rounded
 */
record Int8Linear(Granularity granularity, Optional<TensorCodec> context, Rounding forward) implements LinearQuantizer {
    /** A layer that rounds X and W to nearest. */
    Int8Linear(Granularity granularity, Optional<TensorCodec> context) {
        this(granularity, context, Rounding.NEAREST_EVEN);
    }

    @Override
    public LinearPlan plan(PlanRequest request) {
        List<PlaneSpec> codes = List.of(plane(granularity, forward));
        return new LinearPlan(
                QuantizeSpec.both(Role.INPUT, codes),
                QuantizeSpec.both(Role.WEIGHT, codes),
                QuantizeSpec.both(Role.GRAD_OUTPUT, List.of(plane(granularity, Rounding.STOCHASTIC))),
                GemmSpec.of(Product.OUTPUT, Epilogue.STORE),
                GemmSpec.of(Product.GRAD_INPUT, Epilogue.STORE),
                GemmSpec.of(Product.GRAD_WEIGHT, Epilogue.ADD),
                StateProgram.EMPTY,
                StateProgram.EMPTY);
    }

    static PlaneSpec plane(Granularity granularity, Rounding rounding) {
        return PlaneSpec.value(DType.INT8, granularity, new ScaleRule.AmaxOverTop(), rounding);
    }
}
