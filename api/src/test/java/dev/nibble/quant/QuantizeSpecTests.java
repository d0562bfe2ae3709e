package dev.nibble.quant;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.random.Purpose;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Role;
import java.util.List;
import org.junit.jupiter.api.Test;

class QuantizeSpecTests {
    private static PlaneSpec int8(Granularity granularity) {
        return PlaneSpec.value(DType.INT8, granularity, new ScaleRule.AmaxOverTop(), Rounding.STOCHASTIC);
    }

    @Test
    void equalTransposablePlanesShareOneDraw() {
        QuantizeSpec square = QuantizeSpec.both(Role.INPUT, List.of(int8(new Granularity.PerBlock(8, 8))));
        assertTrue(square.sharesCodes());
        assertEquals(Purpose.ROUND, square.purpose(Contraction.COLUMNS));
        assertEquals(Purpose.ROUND, square.purpose(Contraction.ROWS));
    }

    @Test
    void otherPlanesDrawApart() {
        QuantizeSpec rows = QuantizeSpec.both(Role.INPUT, List.of(int8(new Granularity.PerRow())));
        assertFalse(rows.sharesCodes());
        assertEquals(Purpose.ROUND, rows.purpose(Contraction.COLUMNS));
        assertEquals(Purpose.ROUND_TRANSPOSED, rows.purpose(Contraction.ROWS));
        QuantizeSpec mixed = new QuantizeSpec(
                Role.INPUT,
                List.of(
                        new OperandSpec(Contraction.COLUMNS, List.of(int8(new Granularity.PerTensor()))),
                        new OperandSpec(Contraction.ROWS, List.of(PlaneSpec.unscaled(DType.BF16)))));
        assertFalse(mixed.sharesCodes());
    }

    @Test
    void residualsDoNotDecideAboutSharing() {
        PlaneSpec first = int8(new Granularity.PerBlock(8, 8));
        PlaneSpec residual = PlaneSpec.residual(first, new Threshold.ExactQuantile(0.5));
        QuantizeSpec spec = new QuantizeSpec(
                Role.INPUT,
                List.of(
                        new OperandSpec(Contraction.COLUMNS, List.of(first, residual)),
                        new OperandSpec(Contraction.ROWS, List.of(first))));
        assertTrue(spec.sharesCodes());
        assertEquals("int8+int8", spec.operand(Contraction.COLUMNS).formatLabel());
        assertEquals(Rounding.NEAREST_EVEN, residual.rounding());
    }

    @Test
    void missingOrDoubledOperandIsRejected() {
        OperandSpec columns = new OperandSpec(Contraction.COLUMNS, List.of(PlaneSpec.unscaled(DType.FP32)));
        QuantizeSpec spec = new QuantizeSpec(Role.WEIGHT, List.of(columns));
        IllegalArgumentException e = assertThrows(IllegalArgumentException.class, () -> spec.operand(Contraction.ROWS));
        assertEquals("weight has no operand that contracts its rows", e.getMessage());
        assertThrows(IllegalArgumentException.class, () -> new QuantizeSpec(Role.WEIGHT, List.of(columns, columns)));
        assertThrows(IllegalArgumentException.class, () -> new QuantizeSpec(Role.WEIGHT, List.of()));
    }

    @Test
    void planesThatMakeNoOperandAreRejected() {
        PlaneSpec first = int8(new Granularity.PerBlock(8, 8));
        PlaneSpec residual = PlaneSpec.residual(first, new Threshold.ExactQuantile(0.5));
        PlaneSpec other = PlaneSpec.residual(int8(new Granularity.PerRow()), new Threshold.ExactQuantile(0.5));
        for (List<PlaneSpec> planes :
                List.<List<PlaneSpec>>of(List.of(), List.of(residual), List.of(first, first), List.of(first, other))) {
            assertThrows(IllegalArgumentException.class, () -> new OperandSpec(Contraction.COLUMNS, planes));
        }
        assertThrows(IllegalArgumentException.class, () -> PlaneSpec.unscaled(DType.INT8));
        assertThrows(IllegalArgumentException.class, () -> PlaneSpec.unscaled(DType.INT32));
        assertThrows(IllegalArgumentException.class, () -> new Threshold.ExactQuantile(1.5));
        assertThrows(IllegalArgumentException.class, () -> new Threshold.ExactQuantile(Double.NaN));
    }
}
