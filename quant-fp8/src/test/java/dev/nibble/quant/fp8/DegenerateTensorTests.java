package dev.nibble.quant.fp8;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.host.HostQuantized;
import dev.nibble.quant.Contraction;
import dev.nibble.quant.Statistic;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Fp8;
import dev.nibble.tensor.Role;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Every scaling, and every role, on tensors that have no usable amax. */
class DegenerateTensorTests {
    private static final int ROWS = 3;
    private static final int COLS = 129;
    private static final Role[] ROLES = {Role.INPUT, Role.WEIGHT, Role.GRAD_OUTPUT};

    static Stream<Arguments> everyScalingAndRole() {
        return Stream.of(
                        "scaling=tensor",
                        "scaling=tensor pow2=true",
                        "scaling=tensor eps=1e-12",
                        "scaling=delayed",
                        "scaling=row",
                        "scaling=1x128",
                        "scaling=1x128 pow2=true",
                        "scaling=128x128",
                        "recipe=rowwise",
                        "smooth=channel",
                        "smooth=token",
                        "gradRounding=stochastic")
                .flatMap(options -> Arrays.stream(ROLES).map(role -> Arguments.of(options, role)));
    }

    private static float[] filled(float value) {
        float[] x = new float[ROWS * COLS]; // [ROWS, COLS]
        Arrays.fill(x, value);
        return x;
    }

    private static Step step(String options) {
        return new Step(RecipeGoldenTests.options(options), COLS);
    }

    private static final List<Contraction> CONTRACTIONS = List.of(Contraction.COLUMNS, Contraction.ROWS);

    @ParameterizedTest
    @MethodSource("everyScalingAndRole")
    void zerosStayZerosWithFiniteScales(String options, Role role) {
        for (float zero : new float[] {0, -0f}) {
            try (Step step = step(options)) {
                step.measure(filled(zero), ROWS, COLS);
                HostQuantized quantized = step.quantize(role, filled(zero), ROWS, COLS);
                for (Contraction contraction : CONTRACTIONS) {
                    for (float value : step.dequantize(quantized.operand(contraction))) {
                        assertEquals(0f, value, 0f);
                    }
                    for (float scale : Step.scales(quantized.operand(contraction))) {
                        assertTrue(scale > 0 && Float.isFinite(scale), "scale " + scale);
                    }
                    for (byte code : Step.codes(quantized.operand(contraction))) {
                        assertEquals(0, code & 0x7F, "zero, whatever its sign");
                    }
                }
                assertEquals(0, Step.statistic(quantized, Statistic.AMAX));
            }
        }
    }

    /** 448 / 1e-45 is infinite; the bound on the multiplier makes the scale subnormal, which must not be flushed. */
    @ParameterizedTest
    @MethodSource("everyScalingAndRole")
    void tinyTensorsHaveFiniteScalesAndErrors(String options, Role role) {
        for (float tiny : new float[] {Float.MIN_VALUE, 1e-40f, Float.MIN_NORMAL}) {
            try (Step step = step(options)) {
                step.measure(filled(tiny), ROWS, COLS);
                HostQuantized quantized = step.quantize(role, filled(tiny), ROWS, COLS);
                for (Contraction contraction : CONTRACTIONS) {
                    // lost, or rounded up to at most twice the value, since a subnormal scale has few bits; a draw may
                    // make the smallest code of any value
                    boolean e4m3 = Step.stored(quantized.operand(contraction)) == DType.E4M3;
                    float smallest = Step.scale(quantized.operand(contraction)) * (e4m3 ? 0x1p-9f : 0x1p-16f);
                    float bound = options.contains("stochastic") ? Math.max(2 * tiny, smallest) : 2 * tiny;
                    for (float value : step.dequantize(quantized.operand(contraction))) {
                        assertTrue(value >= 0 && value <= bound, "became " + value);
                    }
                    for (float scale : Step.scales(quantized.operand(contraction))) {
                        assertTrue(scale > 0 && scale <= 1, "scale " + scale);
                    }
                }
            }
        }
    }

    @ParameterizedTest
    @MethodSource("everyScalingAndRole")
    void hugeTensorsHaveFiniteCodesAndPositiveScales(String options, Role role) {
        for (float huge : new float[] {Float.MAX_VALUE, -Float.MAX_VALUE}) {
            try (Step step = step(options)) {
                step.measure(filled(huge), ROWS, COLS);
                HostQuantized quantized = step.quantize(role, filled(huge), ROWS, COLS);
                for (Contraction contraction : CONTRACTIONS) {
                    var operand = quantized.operand(contraction);
                    float top = Step.stored(operand).top();
                    for (byte code : Step.codes(operand)) {
                        float value = Fp8.decode(Step.stored(operand), code);
                        assertTrue(Math.abs(value) <= top && value * huge > 0, "code of " + value);
                        assertTrue(Math.abs(value) >= top / 2, "code of " + value + " wastes the range");
                    }
                    for (float scale : Step.scales(operand)) {
                        assertTrue(scale > 0 && Float.isFinite(scale), "scale " + scale);
                    }
                    for (float value : step.dequantize(operand)) {
                        // rounded by at most 1/8, which may pass the largest FP32; delayed scaling saturates at 1 · top
                        assertTrue(value * huge > 0, "became " + value);
                    }
                }
                assertEquals(Float.MAX_VALUE, Step.statistic(quantized, Statistic.AMAX));
            }
        }
    }

    @ParameterizedTest
    @MethodSource("everyScalingAndRole")
    void whatIsNotFiniteIsSeenAndPoisonsNoOtherGroup(String options, Role role) {
        for (float lost : new float[] {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY}) {
            float[] x = Golden.generate(4, ROWS * COLS); // [ROWS, COLS]
            x[5] = lost;
            try (Step step = step(options)) {
                step.measure(x, ROWS, COLS);
                HostQuantized quantized = step.quantize(role, x, ROWS, COLS);
                assertEquals(Math.abs(lost), Step.statistic(quantized, Statistic.AMAX), "the step will be skipped");
                float[] values = step.dequantize(quantized.operand(Contraction.COLUMNS));
                assertEquals(Float.isNaN(lost), Float.isNaN(values[5]));
                for (int i = 0; i < values.length; i++) {
                    assertTrue(i == 5 || Float.isFinite(values[i]), "element " + i + " is " + values[i]);
                }
                for (float scale : Step.scales(quantized.operand(Contraction.COLUMNS))) {
                    assertTrue(scale > 0 && Float.isFinite(scale), "scale " + scale);
                }
            }
        }
    }

    @ParameterizedTest
    @MethodSource("everyScalingAndRole")
    void tensorOfNanHasCodesOfNan(String options, Role role) {
        try (Step step = step(options)) {
            step.measure(filled(Float.NaN), ROWS, COLS);
            for (byte code : step.codes(role, filled(Float.NaN), ROWS, COLS)) {
                assertEquals(0x7F, code);
            }
        }
    }

    @ParameterizedTest
    @MethodSource("everyScalingAndRole")
    void emptyTensorIsRefused(String options, Role role) {
        try (Step step = step(options)) {
            String message = assertThrows(
                            IllegalArgumentException.class, () -> step.quantize(role, new float[0], 0, COLS))
                    .getMessage();
            assertTrue(message.contains("is empty, but at least one element is needed"), message);
        }
    }

    /** Sizes at and about the edges of blocks, both contractions: each element within half an ulp of its own group. */
    @ParameterizedTest
    @MethodSource("everyScalingAndRole")
    void anySizeRoundTrips(String options, Role role) {
        int[][] sizes = {{1, 1}, {13, 1}, {1, 13}, {127, 128}, {128, 129}, {129, 127}};
        for (int[] size : sizes) {
            int rows = size[0];
            int cols = size[1];
            float[] x = Golden.generate(rows + cols, rows * cols); // [rows, cols]
            try (Step step = new Step(RecipeGoldenTests.options(options), cols)) {
                HostQuantized quantized = step.quantize(role, x, rows, cols);
                float[] columns = step.dequantize(quantized.operand(Contraction.COLUMNS)); // [rows, cols]
                float[] transposed = step.dequantize(quantized.operand(Contraction.ROWS)); // [cols, rows]
                boolean e4m3 = Step.stored(quantized.operand(Contraction.COLUMNS)) == DType.E4M3;
                // Nearest: half an ulp, 2^-4 or 2^-3; stochastic: one ulp. |x| <= 3.5, so that at a multiplier of at
                // least 1
                // half of the smallest code is below 2^-10 for E4M3, and 2^-17 for E5M2.
                boolean stochastic = options.contains("stochastic") && role == Role.GRAD_OUTPUT;
                double relative = (e4m3 ? 0x1p-4 : 0x1p-3) * (stochastic ? 2 : 1) + 0x1p-21;
                double absolute = (e4m3 ? 0x1p-10 : 0x1p-17) * (stochastic ? 2 : 1);
                for (int i = 0; i < x.length; i++) {
                    double bound = Math.max(relative * Math.abs(x[i]), absolute);
                    assertEquals(x[i], columns[i], bound);
                    assertEquals(x[i], transposed[i % cols * rows + i / cols], bound);
                }
            }
        }
    }

    @ParameterizedTest
    @MethodSource("everyScalingAndRole")
    void sameTensorHasTheSameCodesTwice(String options, Role role) {
        float[] x = Golden.generate(8, ROWS * COLS); // [ROWS, COLS]
        try (Step step = step(options);
                Step other = new Step(Map.copyOf(RecipeGoldenTests.options(options)), COLS)) {
            assertEquals(Golden.crc(step.codes(role, x, ROWS, COLS)), Golden.crc(other.codes(role, x, ROWS, COLS)));
        }
    }
}
