package dev.nibble.backend.cpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.host.HostTensor;
import dev.nibble.quant.Contraction;
import dev.nibble.quant.Granularity;
import dev.nibble.quant.OperandSpec;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.quant.ScaleRule;
import dev.nibble.quant.Threshold;
import dev.nibble.spi.DeviceState;
import dev.nibble.spi.NonFinite;
import dev.nibble.spi.Quantized;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Role;
import dev.nibble.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Codes, scales, masks and statistics equal the plain code's, bit for bit. */
class CpuQuantizeTests {
    private static final int[][] SHAPES = QuantizeCheck.SHAPES;

    private static final List<Granularity> GRANULARITIES = List.of(
            new Granularity.PerTensor(),
            new Granularity.PerRow(),
            new Granularity.PerBlock(128, 128),
            new Granularity.PerBlock(1, 128),
            new Granularity.PerBlock(32, 32),
            new Granularity.PerBlock(128, 256),
            new Granularity.PerBlock(7, 3),
            new Granularity.PerBlock(5, 1));

    private static List<PlaneSpec> planes() {
        List<PlaneSpec> planes = new ArrayList<>();
        for (Granularity granularity : GRANULARITIES) {
            planes.add(Fixture.int8(granularity));
            planes.add(Fixture.int8(granularity, Rounding.STOCHASTIC));
            planes.add(PlaneSpec.value(DType.INT8, granularity, new ScaleRule.TopOverAmax(false), Rounding.STOCHASTIC));
            for (DType format : List.of(DType.E4M3, DType.E5M2)) {
                planes.add(Fixture.fp8(format, granularity));
                planes.add(
                        PlaneSpec.value(format, granularity, new ScaleRule.TopOverAmax(true), Rounding.NEAREST_EVEN));
                planes.add(PlaneSpec.value(format, granularity, new ScaleRule.AmaxOverTop(), Rounding.NEAREST_EVEN));
            }
        }
        for (DType format : List.of(DType.FP32, DType.BF16, DType.FP16, DType.E4M3, DType.E5M2)) {
            planes.add(PlaneSpec.unscaled(format));
        }
        return planes;
    }

    @ParameterizedTest
    @MethodSource("planes")
    void everyPlaneEqualsThePlainCode(PlaneSpec plane) {
        for (int threads : new int[] {1, 3}) {
            try (Fixture fixture = new Fixture(threads)) {
                for (int[] shape : SHAPES) {
                    for (boolean finite : new boolean[] {true, false}) {
                        Tensor x = fixture.tensor(shape[0], shape[1], QuantizeCheck.values(shape[0], shape[1], finite));
                        QuantizeSpec both = QuantizeSpec.both(Role.GRAD_OUTPUT, List.of(plane));
                        QuantizeCheck.assertEqualToPlain(fixture, both, x, Fixture.NO_STATE);
                        OperandSpec rows = Fixture.spec(Contraction.ROWS, plane);
                        QuantizeCheck.assertEqualToPlain(
                                fixture, new QuantizeSpec(Role.INPUT, List.of(rows)), x, Fixture.NO_STATE);
                    }
                }
            }
        }
    }

    @Test
    void ordinaryValuesEqualThePlainCode() {
        try (Fixture fixture = new Fixture(2)) {
            Tensor x = fixture.tensor(300, 260, Fixture.normal(300 * 260, 3));
            for (PlaneSpec plane : planes()) {
                QuantizeCheck.assertEqualToPlain(
                        fixture, QuantizeSpec.both(Role.WEIGHT, List.of(plane)), x, Fixture.NO_STATE);
            }
        }
    }

    @Test
    void matricesOfSeveralStripsEqualThePlainCode() {
        int rows = 130;
        int cols = 2051; // several strips of 128 rows, and parts of rows that end within a line
        try (Fixture fixture = new Fixture(3)) {
            Tensor x = fixture.tensor(rows, cols, Fixture.normal(rows * cols, 17));
            for (Granularity granularity : GRANULARITIES) {
                PlaneSpec first = Fixture.int8(granularity, Rounding.STOCHASTIC);
                PlaneSpec rest = PlaneSpec.residual(first, new Threshold.ExactQuantile(0.5));
                QuantizeSpec two = QuantizeSpec.both(Role.INPUT, List.of(first, rest));
                QuantizeCheck.assertEqualToPlain(fixture, two, x, Fixture.NO_STATE);
                QuantizeSpec one = QuantizeSpec.both(Role.INPUT, List.of(Fixture.fp8(DType.E5M2, granularity)));
                QuantizeCheck.assertEqualToPlain(fixture, one, x, Fixture.NO_STATE);
            }
        }
    }

    @Test
    void residualPlanesEqualThePlainCode() {
        for (Granularity granularity : GRANULARITIES) {
            for (PlaneSpec first : List.of(Fixture.int8(granularity), Fixture.fp8(DType.E4M3, granularity))) {
                for (double quantile : new double[] {0, 0.5, 0.9, 1}) {
                    assertResidualEqual(first, new Threshold.ExactQuantile(quantile));
                }
                assertResidualEqual(first, new Threshold.Delayed("threshold"));
            }
        }
    }

    private static void assertResidualEqual(PlaneSpec first, Threshold threshold) {
        try (Fixture fixture = new Fixture(2)) {
            Tensor value = fixture.tensor(1, 1, new float[] {2.5f});
            DeviceState state = new DeviceState(Map.of("threshold", value));
            List<PlaneSpec> planes = List.of(first, PlaneSpec.residual(first, threshold));
            for (int[] shape : SHAPES) {
                for (boolean finite : new boolean[] {true, false}) {
                    Tensor x = fixture.tensor(shape[0], shape[1], QuantizeCheck.values(shape[0], shape[1], finite));
                    QuantizeCheck.assertEqualToPlain(fixture, QuantizeSpec.both(Role.INPUT, planes), x, state);
                }
            }
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"E4M3", "E5M2"})
    void eightBitFloatsEqualThePlainCodeOverAllExponents(String name) {
        // Every sign, exponent and upper mantissa bit, with the lower bits at, below and above a tie.
        float[] values = new float[1 << 18];
        for (int i = 0; i < values.length; i++) {
            values[i] = Float.intBitsToFloat(i << 14 | (i % 3 == 0 ? 0 : i % 3 == 1 ? 1 : 0x3FFF));
        }
        try (Fixture fixture = new Fixture(1)) {
            Tensor x = fixture.tensor(1 << 9, 1 << 9, values);
            PlaneSpec plane = PlaneSpec.unscaled(DType.valueOf(name));
            OperandSpec operand = Fixture.spec(Contraction.COLUMNS, plane);
            QuantizeCheck.assertEqualToPlain(
                    fixture, new QuantizeSpec(Role.INPUT, List.of(operand)), x, Fixture.NO_STATE);
        }
    }

    @Test
    void oneNanInAnyPlaceReachesTheAmax() {
        try (Fixture fixture = new Fixture(2)) {
            for (int place = 0; place < 5 * 37; place++) {
                float[] values = Fixture.normal(5 * 37, 5);
                values[place] = Float.NaN;
                for (Granularity granularity : GRANULARITIES) {
                    QuantizeSpec spec = QuantizeSpec.both(Role.INPUT, List.of(Fixture.int8(granularity)));
                    try (Tensor x = fixture.tensor(5, 37, values);
                            Quantized quantized =
                                    fixture.quantize.quantize(fixture.scope, spec, Fixture.SITE, x, Fixture.NO_STATE)) {
                        assertTrue(Float.isNaN(HostTensor.floats(quantized.statistics())[0]), "place " + place);
                    }
                }
            }
            List<NonFinite> noted = fixture.runtime.takeNonFinite();
            assertEquals(5 * 37 * GRANULARITIES.size(), noted.size());
            assertEquals(new NonFinite(Fixture.SITE, Role.INPUT), noted.getFirst());
        }
    }

    @Test
    void emptyMatrixIsRefused() {
        try (Fixture fixture = new Fixture(1)) {
            QuantizeSpec spec = QuantizeSpec.both(Role.INPUT, List.of(Fixture.int8(new Granularity.PerRow())));
            Tensor x = fixture.tensor(0, 5, new float[0]);
            assertThrows(
                    IllegalArgumentException.class,
                    () -> fixture.quantize.quantize(fixture.scope, spec, Fixture.SITE, x, Fixture.NO_STATE));
        }
    }

    @Test
    void quantizingLeavesNoTensorOpen() {
        try (Fixture fixture = new Fixture(2)) {
            Tensor x = fixture.tensor(129, 257, Fixture.normal(129 * 257, 9));
            long before = fixture.runtime.memory().openTensors();
            PlaneSpec first = Fixture.int8(new Granularity.PerBlock(128, 128));
            List<PlaneSpec> planes = List.of(first, PlaneSpec.residual(first, new Threshold.ExactQuantile(0.5)));
            QuantizeSpec spec = QuantizeSpec.both(Role.INPUT, planes);
            fixture.quantize
                    .quantize(fixture.scope, spec, Fixture.SITE, x, Fixture.NO_STATE)
                    .close();
            assertEquals(before, fixture.runtime.memory().openTensors());
        }
    }
}
