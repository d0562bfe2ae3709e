package dev.nibble.backend.cpu;

import dev.nibble.quant.Contraction;
import dev.nibble.quant.Criterion;
import dev.nibble.quant.Granularity;
import dev.nibble.quant.OperandSpec;
import dev.nibble.quant.Overflow;
import dev.nibble.quant.PlaneSource;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.quant.ScaleRule;
import dev.nibble.quant.SplitMode;
import dev.nibble.quant.Threshold;
import dev.nibble.spi.DeviceState;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Role;
import dev.nibble.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** 4-bit and exponent formats, given and tensor-wide scales, digits, samples and policies: the bits of the plain code. */
class QuantizeFormatTests {
    private static final Granularity TENSOR = new Granularity.PerTensor();

    // Odd rows and columns, so that rows of nibbles end within a byte; one longer than a stretch of 1024.
    private static final int[][] SHAPES = {{1, 1}, {13, 127}, {3, 2061}, {257, 129}};

    private static PlaneSpec plane(DType format, Granularity granularity, ScaleRule rule, Rounding rounding) {
        return PlaneSpec.value(format, granularity, rule, rounding);
    }

    /** {@return what the state of {@link #state} gives: a positive value, 0, NaN, … by name} */
    private static ScaleRule given(String value, ScaleRule.Application application, ScaleRule whenZero) {
        return new ScaleRule.Given(value, application, whenZero);
    }

    private static DeviceState state(Fixture fixture) {
        return new DeviceState(Map.of(
                "usual", fixture.tensor(1, 1, new float[] {0.37f}),
                "one", fixture.tensor(1, 1, new float[] {1}),
                "tiny", fixture.tensor(1, 1, new float[] {0x1p-140f}),
                "huge", fixture.tensor(1, 1, new float[] {0x1p100f}),
                "zero", fixture.tensor(1, 1, new float[] {0}),
                "negative", fixture.tensor(1, 1, new float[] {-1}),
                "nan", fixture.tensor(1, 1, new float[] {Float.NaN}),
                "infinite", fixture.tensor(1, 1, new float[] {Float.POSITIVE_INFINITY}),
                "threshold", fixture.tensor(1, 1, new float[] {2.5f})));
    }

    private static List<List<PlaneSpec>> operands() {
        List<List<PlaneSpec>> operands = new ArrayList<>();
        addPacked(operands);
        addPowers(operands);
        addTensorWide(operands);
        addGiven(operands);
        addFp8(operands);
        for (SplitMode mode : SplitMode.values()) {
            operands.add(PlaneSpec.digits(mode));
        }
        ScaleRule powers = new ScaleRule.AmaxOverPower(6, false);
        operands.add(plane(DType.E3M0, TENSOR, powers, Rounding.STOCHASTIC).samples(3));
        operands.add(plane(DType.INT4, TENSOR, new ScaleRule.AmaxOverTop(), Rounding.STOCHASTIC)
                .samples(2));
        return operands;
    }

    private static void addPacked(List<List<PlaneSpec>> operands) {
        for (Granularity granularity : List.of(TENSOR, new Granularity.PerRow(), new Granularity.PerBlock(7, 3))) {
            for (Rounding rounding : List.of(Rounding.NEAREST_EVEN, Rounding.STOCHASTIC)) {
                operands.add(List.of(plane(DType.INT4, granularity, new ScaleRule.AmaxOverTop(), rounding)));
                operands.add(List.of(plane(DType.UINT4, granularity, new ScaleRule.TopOverAmax(true), rounding)));
            }
            operands.add(List.of(plane(DType.E3M0, granularity, new ScaleRule.AmaxOverTop(), Rounding.NEAREST_EVEN)));
            operands.add(
                    List.of(plane(DType.E4M0, granularity, new ScaleRule.TopOverAmax(false), Rounding.STOCHASTIC)));
        }
    }

    private static void addPowers(List<List<PlaneSpec>> operands) {
        for (Rounding rounding : Rounding.values()) {
            for (boolean powerOfTwo : new boolean[] {false, true}) {
                operands.add(List.of(plane(DType.E3M0, TENSOR, new ScaleRule.AmaxOverPower(6, powerOfTwo), rounding)));
            }
            operands.add(List.of(plane(DType.E3M0, TENSOR, new ScaleRule.AmaxOverPower(4, false), rounding)));
            operands.add(List.of(plane(DType.E4M0, TENSOR, new ScaleRule.AmaxOverPower(8, false), rounding)));
        }
    }

    private static void addTensorWide(List<List<PlaneSpec>> operands) {
        for (Rounding rounding : List.of(Rounding.NEAREST_EVEN, Rounding.STOCHASTIC)) {
            operands.add(List.of(plane(DType.INT4, TENSOR, new ScaleRule.Sawb(12.68f, 12.80f, 7, -7, 7), rounding)));
            operands.add(List.of(plane(DType.UINT4, TENSOR, new ScaleRule.Sawb(12.68f, 12.80f, 15, 0, 15), rounding)));
            operands.add(List.of(plane(DType.INT8, TENSOR, new ScaleRule.Sawb(3, 1, 8, -7, 8), rounding)));
            operands.add(List.of(plane(DType.INT4, TENSOR, new ScaleRule.MeanMagnitude(), rounding)));
            operands.add(List.of(plane(DType.INT8, TENSOR, new ScaleRule.MeanMagnitude(), rounding)));
        }
    }

    private static void addGiven(List<List<PlaneSpec>> operands) {
        ScaleRule mean = new ScaleRule.MeanMagnitude();
        for (String value : List.of("usual", "tiny", "huge", "zero", "negative", "nan", "infinite")) {
            for (ScaleRule.Application application : ScaleRule.Application.values()) {
                operands.add(
                        List.of(plane(DType.INT4, TENSOR, given(value, application, mean), Rounding.NEAREST_EVEN)));
                ScaleRule current = given(value, application, new ScaleRule.TopOverAmax(false));
                operands.add(List.of(plane(DType.E4M3, TENSOR, current, Rounding.NEAREST_EVEN)));
                operands.add(List.of(plane(DType.INT8, TENSOR, current, Rounding.STOCHASTIC)));
            }
        }
        ScaleRule powers = given("usual", ScaleRule.Application.SCALE, new ScaleRule.AmaxOverPower(6, false));
        operands.add(List.of(plane(DType.E3M0, TENSOR, powers, Rounding.STOCHASTIC)));
        operands.add(List.of(plane(DType.E4M0, TENSOR, powers, Rounding.NEAREST_FLUSH)));
        operands.add(plane(DType.E3M0, TENSOR, powers, Rounding.STOCHASTIC).samples(2));
        ScaleRule unsigned = given("usual", ScaleRule.Application.SCALE, new ScaleRule.Sawb(4, 1, 15, 0, 15));
        operands.add(List.of(plane(DType.UINT4, TENSOR, unsigned, Rounding.STOCHASTIC)));
    }

    private static void addFp8(List<List<PlaneSpec>> operands) {
        for (DType format : List.of(DType.E4M3, DType.E5M2)) {
            for (Overflow overflow : Overflow.values()) {
                for (Rounding rounding : List.of(Rounding.NEAREST_EVEN, Rounding.STOCHASTIC)) {
                    for (ScaleRule rule : List.of(
                            new ScaleRule.Unit(),
                            new ScaleRule.TopOverAmax(true),
                            given("one", ScaleRule.Application.MULTIPLIER, new ScaleRule.TopOverAmax(false)))) {
                        operands.add(List.of(
                                new PlaneSpec(new PlaneSource.Value(), format, TENSOR, rule, rounding, overflow)));
                    }
                }
            }
        }
    }

    private static float[][] inputs(int rows, int cols) {
        return new float[][] {
            QuantizeCheck.values(rows, cols, true),
            QuantizeCheck.values(rows, cols, false),
            QuantizeCheck.nearCodes(rows * cols),
            new float[rows * cols]
        };
    }

    @ParameterizedTest
    @MethodSource("operands")
    void everyOperandEqualsThePlainCode(List<PlaneSpec> planes) {
        for (int threads = 1; threads <= 3; threads++) {
            try (Fixture fixture = new Fixture(threads)) {
                DeviceState state = state(fixture);
                QuantizeSpec spec = QuantizeSpec.both(Role.GRAD_OUTPUT, planes);
                for (int[] shape : SHAPES) {
                    if (threads > 1 && shape[0] < 257) {
                        continue; // so few elements are one task
                    }
                    float[][] inputs = inputs(shape[0], shape[1]);
                    for (float[] values : inputs) {
                        try (Tensor x = fixture.tensor(shape[0], shape[1], values)) {
                            QuantizeCheck.assertEqualToPlain(fixture, spec, x, state);
                        }
                    }
                }
            }
        }
    }

    private static List<OperandSpec> residuals() {
        List<OperandSpec> operands = new ArrayList<>();
        for (Granularity granularity : List.of(
                new Granularity.PerBlock(128, 128),
                new Granularity.PerBlock(32, 16),
                new Granularity.PerBlock(7, 3),
                new Granularity.PerRow(),
                TENSOR)) {
            for (DType format : List.of(DType.INT8, DType.INT4, DType.E3M0, DType.E4M3)) {
                PlaneSpec first = plane(format, granularity, new ScaleRule.AmaxOverTop(), Rounding.NEAREST_EVEN);
                for (Criterion criterion : Criterion.values()) {
                    for (Threshold threshold : List.of(
                            new Threshold.Delayed("threshold"),
                            new Threshold.ExactQuantile(0.6),
                            new Threshold.Capped("threshold", 0.2))) {
                        PlaneSpec residual = new PlaneSpec(
                                new PlaneSource.Residual(threshold, criterion),
                                format,
                                granularity,
                                new ScaleRule.AmaxOverTop(),
                                Rounding.NEAREST_EVEN);
                        operands.add(Fixture.spec(Contraction.COLUMNS, first, residual));
                    }
                }
            }
        }
        return operands;
    }

    @ParameterizedTest
    @MethodSource("residuals")
    void everyResidualEqualsThePlainCode(OperandSpec operand) {
        try (Fixture fixture = new Fixture(2)) {
            DeviceState state = state(fixture);
            QuantizeSpec spec = QuantizeSpec.both(Role.INPUT, operand.planes());
            for (int[] shape : new int[][] {{1, 1}, {37, 67}}) {
                for (boolean finite : new boolean[] {true, false}) {
                    try (Tensor x =
                            fixture.tensor(shape[0], shape[1], QuantizeCheck.values(shape[0], shape[1], finite))) {
                        QuantizeCheck.assertEqualToPlain(fixture, spec, x, state);
                    }
                }
                try (Tensor x = fixture.tensor(shape[0], shape[1], Fixture.normal(shape[0] * shape[1], 4))) {
                    QuantizeCheck.assertEqualToPlain(fixture, spec, x, state);
                }
            }
        }
    }
}
