package dev.nibble.reference;

import dev.nibble.gemm.Epilogue;
import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Product;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearPlan;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.PlanRequest;
import dev.nibble.spi.Quantizer;
import dev.nibble.state.StateProgram;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Role;
import java.util.List;

/**
 * Stores every operand unscaled in one format: what the low-bit methods are compared with.
 *
 * @param format FP32 or BF16
 */
record UnscaledQuantizer(DType format) implements Quantizer, LinearQuantizer {
    @Override
    public LinearQuantizer linear(LinearLayer layer) {
        return this;
    }

    @Override
    public LinearPlan plan(PlanRequest request) {
        return new LinearPlan(
                spec(Role.INPUT),
                spec(Role.WEIGHT),
                spec(Role.GRAD_OUTPUT),
                GemmSpec.of(Product.OUTPUT, Epilogue.STORE),
                GemmSpec.of(Product.GRAD_INPUT, Epilogue.STORE),
                GemmSpec.of(Product.GRAD_WEIGHT, Epilogue.ADD),
                StateProgram.EMPTY,
                StateProgram.EMPTY);
    }

    private QuantizeSpec spec(Role role) {
        return QuantizeSpec.both(role, List.of(PlaneSpec.unscaled(format)));
    }
}
