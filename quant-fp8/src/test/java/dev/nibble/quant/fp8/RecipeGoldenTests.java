package dev.nibble.quant.fp8;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.host.HostQuantized;
import dev.nibble.quant.Contraction;
import dev.nibble.tensor.Role;
import java.math.BigDecimal;
import java.util.HashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * Codes, scales and errors of the usual recipes on three data sets: plain; one large column; rows and columns of very
 * different size. The figures were made apart from this code.
 */
class RecipeGoldenTests {
    private static final int ROWS = Golden.ROWS;
    private static final int COLS = Golden.COLS;

    /** {@return options written {@code a=b c=d}} */
    static Map<String, String> options(String text) {
        Map<String, String> options = new HashMap<>();
        for (String option : text.trim().split(" +", -1)) {
            if (!option.isEmpty()) {
                options.put(option.substring(0, option.indexOf('=')), option.substring(option.indexOf('=') + 1));
            }
        }
        return options;
    }

    /** What a round trip of one data set gave. */
    private record Result(String codes, String scales, int zeros, double sqnr, double meanRelative) {}

    private static Result result(Map<String, String> options, Role role, int number) {
        float[] x = Golden.data(number); // [ROWS, COLS]
        try (Step step = new Step(options)) {
            HostQuantized quantized = step.quantize(role, x, ROWS, COLS);
            var operand = quantized.operand(Contraction.COLUMNS);
            int kGroups = (int) operand.spec().planes().getFirst().granularity().kGroups(COLS);
            float[] values = step.dequantize(operand); // [ROWS, COLS]
            return new Result(
                    Golden.crc(Step.codes(operand)),
                    Golden.crc(Golden.rowMajor(Step.scales(operand), kGroups)),
                    Golden.zeros(x, values),
                    Golden.sqnr(x, values),
                    Golden.meanRelative(x, values));
        }
    }

    /** The expected figure is rounded to its last digit. */
    private static void assertRounded(String expected, double actual) {
        BigDecimal figure = new BigDecimal(expected);
        assertEquals(figure.doubleValue(), actual, 0.500001 * Math.pow(10, -figure.scale()));
    }

    @ParameterizedTest(name = "{0} {1}")
    @CsvSource({
        "'', INPUT, 31.471, F77A7883, C892217C, 96, 5BE034E1, A799FECD, 120368, .494, 92EBA526, F8576E5A",
        "pow2=true, INPUT, 31.517, 4EB9399A, 0E2BA39B, 205, 49FD68EB, ACA16A6A, 127836, .522, EABEBA15, E025C2B7",
        "'', GRAD_OUTPUT, 25.495, FF50CEE5, 6A18E88D, 0, 93D42839, 9B77A29F, 4378, .0697, ADC1A207, 5DB063B2",
        "scaling=row pow2=true, INPUT, 31.517, 4EB9399A, 17C6AE64, 46, 3415F3E3, 844692AF, 3, .02257, 43D67C55, 1D1B7280",
        "recipe=rowwise, WEIGHT, 31.517, 4EB9399A, 17C6AE64, 46, 3415F3E3, 844692AF, 3, .02257, 43D67C55, 1D1B7280",
        "recipe=rowwise, GRAD_OUTPUT, 31.517, 4EB9399A, 17C6AE64, 46, 3415F3E3, 844692AF, 3, .02257, 43D67C55, 1D1B7280",
        "recipe=tensorwise, INPUT, 31.471, F77A7883, C892217C, 96, 5BE034E1, A799FECD, 120368, .494, 92EBA526, F8576E5A",
        "recipe=tensorwise, GRAD_OUTPUT, 25.495, FF50CEE5, 6A18E88D, 0, 93D42839, 9B77A29F, 4378, .0697, ADC1A207, 5DB063B2",
        "scaling=row, INPUT, 31.514, 9D72BF13, 2DEE0D5A, 29, 00B4A0C3, 6E9BC990, 2, .02252, ED72BE99, 4222BA65",
        "scaling=1x128 pow2=true, INPUT, 31.517, 4EB9399A, 1065413D, 7, 6EF8A77F, 975F543D, 0, .02255, EE3B71F4, ECDB95DE",
        "scaling=1x128, INPUT, 31.733, 20FE9446, D174D1D4, 4, F7B13920, BF4A7463, 0, .02240, 8B94E2F2, 9ED4485E",
        "scaling=1x128 pow2=true, WEIGHT, 31.517, 4EB9399A, 58146C24, 20, 1BDF8533, 4AC83C9B, 115465, .476, 66333C5A, 4B026C48",
        "scaling=128x128, INPUT, 31.481, 49A9E971, A5313E2B, 11, 82F28CBE, AA7E6262, 110032, .455, A69D050B, A4639D52",
    })
    void recipeHasItsGoldenFigures(
            String options,
            Role role,
            String sqnr1,
            String codes1,
            String scales1,
            int zeros2,
            String codes2,
            String scales2,
            int zeros3,
            String meanRelative3,
            String codes3,
            String scales3) {
        Result plain = result(options(options), role, 1);
        assertEquals(codes1, plain.codes());
        assertEquals(scales1, plain.scales());
        assertRounded(sqnr1, plain.sqnr());
        assertEquals(0, plain.zeros());
        Result column = result(options(options), role, 2);
        assertEquals(codes2, column.codes());
        assertEquals(scales2, column.scales());
        assertEquals(zeros2, column.zeros());
        Result uneven = result(options(options), role, 3);
        assertEquals(codes3, uneven.codes());
        assertEquals(scales3, uneven.scales());
        assertEquals(zeros3, uneven.zeros());
        assertRounded(meanRelative3, uneven.meanRelative());
    }

    /** The first step of delayed scaling multiplies by 1. */
    @ParameterizedTest
    @CsvSource({
        "INPUT, 31.517, E737E9D4, 205, 205, 49FD68EB, 155193, .624, E1D6D790",
        "GRAD_OUTPUT, 25.531, 437D7458, 0, 0, F2C6E3DA, 91509, .398, 2F83A69B"
    })
    void codesWithoutAScaleHaveTheirGoldenFigures(
            Role role,
            String sqnr1,
            String codes1,
            int zeros1,
            int zeros2,
            String codes2,
            int zeros3,
            String meanRelative3,
            String codes3) {
        Map<String, String> options = Map.of("scaling", "delayed");
        Result plain = result(options, role, 1);
        assertEquals(codes1, plain.codes());
        assertEquals(Golden.crc(new float[] {1}), plain.scales());
        assertRounded(sqnr1, plain.sqnr());
        assertEquals(zeros1, plain.zeros());
        Result column = result(options, role, 2);
        assertEquals(codes2, column.codes());
        assertEquals(zeros2, column.zeros());
        Result uneven = result(options, role, 3);
        assertEquals(codes3, uneven.codes());
        assertEquals(zeros3, uneven.zeros());
        assertRounded(meanRelative3, uneven.meanRelative());
    }

    @Test
    void firstCodesAndScalesAreTheGoldenOnes() {
        float[] x = Golden.data(1); // [ROWS, COLS]
        try (Step tensor = new Step(Map.of());
                Step block = new Step(Map.of("scaling", "1x128"))) {
            var whole = tensor.quantize(Role.INPUT, x, ROWS, COLS).operand(Contraction.COLUMNS);
            assertEquals(0x1.e9f9e6p-8f, Step.scale(whole));
            var blocks = block.quantize(Role.INPUT, x, ROWS, COLS).operand(Contraction.COLUMNS);
            assertEquals(0x1.3b66c2p-8f, Step.scale(blocks));
            int[] first = {0xF3, 0x57, 0x61, 0x64};
            int[] firstOfBlock = {0xF9, 0x5C, 0x67, 0x69};
            for (int i = 0; i < first.length; i++) {
                assertEquals((byte) first[i], Step.codes(whole)[i]);
                assertEquals((byte) firstOfBlock[i], Step.codes(blocks)[i]);
            }
        }
    }

    /** The signal is in the few large elements: whatever becomes of the others hardly shows in the ratio. */
    @Test
    void signalToNoiseRatioHidesUnderflow() {
        Result tensor = result(Map.of(), Role.INPUT, 3);
        Result row = result(Map.of("scaling", "row"), Role.INPUT, 3);
        int elements = ROWS * COLS;
        assertTrue(tensor.zeros() > 0.45 * elements, "lost: " + tensor.zeros());
        assertTrue(row.zeros() < 1e-5 * elements, "lost: " + row.zeros());
        assertEquals(row.sqnr(), tensor.sqnr(), 0.5); // dB: nobody would see it here
        assertRounded("31.6", tensor.sqnr());
        assertTrue(tensor.meanRelative() > 20 * row.meanRelative(), tensor + " and " + row); // here everybody does
    }
}
