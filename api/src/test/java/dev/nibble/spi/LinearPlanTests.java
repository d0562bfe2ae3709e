package dev.nibble.spi;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.nibble.gemm.Epilogue;
import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Product;
import dev.nibble.gemm.Term;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.state.StateProgram;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Role;
import java.util.List;
import org.junit.jupiter.api.Test;

class LinearPlanTests {
    private static LinearPlan plan(GemmSpec output, GemmSpec gradWeight) {
        List<PlaneSpec> planes = List.of(PlaneSpec.unscaled(DType.FP32));
        return new LinearPlan(
                QuantizeSpec.both(Role.INPUT, planes),
                QuantizeSpec.both(Role.WEIGHT, planes),
                QuantizeSpec.both(Role.GRAD_OUTPUT, planes),
                output,
                GemmSpec.of(Product.GRAD_INPUT, Epilogue.STORE),
                gradWeight,
                StateProgram.EMPTY,
                StateProgram.EMPTY);
    }

    @Test
    void aWeightGradientThatOverwritesIsRejected() {
        var failure = assertThrows(
                IllegalArgumentException.class,
                () -> plan(
                        GemmSpec.of(Product.OUTPUT, Epilogue.STORE), GemmSpec.of(Product.GRAD_WEIGHT, Epilogue.STORE)));
        assertEquals(
                "gradWeight is a spec of gradWeight with STORE, but must be one of gradWeight with ADD",
                failure.getMessage());
    }

    @Test
    void aTermWithoutItsPlaneIsRejected() {
        GemmSpec twoPlanes = new GemmSpec(Product.OUTPUT, List.of(new Term(0, 0), new Term(1, 0)), Epilogue.STORE);
        var failure = assertThrows(
                IllegalArgumentException.class, () -> plan(twoPlanes, GemmSpec.of(Product.GRAD_WEIGHT, Epilogue.ADD)));
        assertEquals("output uses planes 1 and 0, but its operands have 1 and 1", failure.getMessage());
    }
}
