package dev.nibble.quant.fp8;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.quant.Contraction;
import dev.nibble.random.RandomStream;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Fp8;
import dev.nibble.tensor.Role;
import java.util.Map;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class StochasticRoundingTests {
    private static final int DROPPED = 20; // mantissa bits that E4M3 lacks

    /** The form that adds a random number r below the bits that stay, and truncates; normal results only. */
    private static int addForm(float value, int r) {
        int a = Float.floatToRawIntBits(value) + (r & ((1 << DROPPED) - 1));
        return (a >>> DROPPED) - (120 << 3);
    }

    /** {@return a word whose uniform number decides as r does: r = (2^d - 1) - (word >>> (32 - d))} */
    private static int word(int r, int rest) {
        int upper = (1 << DROPPED) - 1 - (r & ((1 << DROPPED) - 1));
        return upper << (32 - DROPPED) | rest;
    }

    @ParameterizedTest
    @CsvSource({"0, 38", "7FFFF, 38", "80000, 39", "FFFFFFFF, 39"})
    void fixedRandomNumbersGiveTheirCodes(String r, String code) {
        int random = Integer.parseUnsignedInt(r, 16);
        int expected = Integer.parseInt(code, 16);
        assertEquals(expected, addForm(1.0625f, random));
        for (int rest : new int[] {0, 0x800, 0xFFF}) { // bits of the word that r does not determine
            float u = RandomStream.fromWord(word(random, rest));
            assertEquals((byte) expected, Fp8.encodeStochastic(DType.E4M3, 1.0625f, u));
        }
    }

    @Test
    void comparisonIsTheSameLawAsAddition() {
        SplittableRandom random = new SplittableRandom(1);
        for (int i = 0; i < 200_000; i++) {
            float value = (float) Math.scalb(1 + random.nextDouble(), random.nextInt(-6, 8));
            int r = random.nextInt();
            float u = RandomStream.fromWord(word(r, random.nextInt(1 << 12)));
            assertEquals((byte) addForm(value, r), Fp8.encodeStochastic(DType.E4M3, value, u), value + " and " + r);
        }
    }

    @ParameterizedTest
    @CsvSource({
        "E4M3, 1.0625",
        "E4M3, 0.00048828125",
        "E4M3, 0.3",
        "E4M3, -0.3",
        "E4M3, 0.0137",
        "E4M3, 440",
        "E5M2, 1.1",
        "E5M2, -3e-6",
        "E5M2, 5.5e-5",
        "E5M2, 57000"
    })
    void meanIsTheValue(DType format, float value) {
        int draws = 1 << 20;
        RandomStream stream = new RandomStream(7, 0, 0, 0, Role.OTHER, 0, 0);
        double sum = 0;
        float below = Float.POSITIVE_INFINITY;
        float above = Float.NEGATIVE_INFINITY;
        for (int i = 0; i < draws; i++) {
            float rounded = Fp8.decode(format, Fp8.encodeStochastic(format, value, stream.uniform(i)));
            sum += rounded;
            below = Math.min(below, rounded);
            above = Math.max(above, rounded);
        }
        double p = ((double) value - below) / ((double) above - below);
        double standardError = ((double) above - below) * Math.sqrt(p * (1 - p) / draws);
        // Uniform numbers lie on a grid of 2^-24, which may bias the probability by as much.
        assertEquals(value, sum / draws, 5 * standardError + ((double) above - below) * 0x1p-24);
        double nearest = Fp8.decode(format, Fp8.encode(format, value));
        assertTrue(Math.abs(nearest - value) > 5 * standardError, "rounding to nearest must fail the same test");
    }

    @Test
    void noDrawPassesTheLargestValue() {
        RandomStream stream = new RandomStream(7, 0, 0, 0, Role.OTHER, 0, 0);
        for (int i = 0; i < 10_000; i++) {
            assertEquals((byte) 0x7E, Fp8.encodeStochastic(DType.E4M3, 460, stream.uniform(i)));
            assertEquals((byte) 0xFB, Fp8.encodeStochastic(DType.E5M2, -60000, stream.uniform(i)));
        }
    }

    /** Over many steps; of the operand of each contraction, since one scale a row draws twice. */
    @ParameterizedTest
    @CsvSource({
        "tensor, COLUMNS, e5m2",
        "tensor, COLUMNS, e4m3",
        "row, COLUMNS, e4m3",
        "row, ROWS, e5m2",
        "1x128, ROWS, e4m3"
    })
    void meanGradientOverStepsIsTheGradient(String scaling, Contraction contraction, String backward) {
        int draws = 2000;
        float[] x = Golden.generate(5, 13 * 7); // [13, 7]
        double[] sums = new double[x.length]; // [rows, k] of the operand
        double[] squares = new double[x.length]; // [rows, k] of the operand
        Map<String, String> options = Map.of("scaling", scaling, "backward", backward, "gradRounding", "stochastic");
        try (Step step = new Step(options)) {
            for (int draw = 0; draw < draws; draw++) {
                step.begin(draw);
                float[] values = step.dequantize(
                        step.quantize(Role.GRAD_OUTPUT, x, 13, 7).operand(contraction));
                for (int i = 0; i < values.length; i++) {
                    sums[i] += values[i];
                    squares[i] += (double) values[i] * values[i];
                }
            }
        }
        int biased = 0;
        for (int i = 0; i < x.length; i++) {
            double value = contraction == Contraction.COLUMNS ? x[i] : x[i % 13 * 7 + i / 13];
            double mean = sums[i] / draws;
            double standardError = Math.sqrt(Math.max(0, squares[i] / draws - mean * mean) / draws);
            // x · multiplier, the reciprocal and code · scale each round by 2^-24; amax itself may saturate by as much
            biased += Math.abs(mean - value) > 5 * standardError + 4 * 0x1p-24 * Math.abs(value) ? 1 : 0;
        }
        assertEquals(0, biased, "elements whose mean is off");
    }

    @Test
    void gradientAloneIsDrawnAndADrawHasItsAddress() {
        float[] x = Golden.generate(5, 128); // [1, 128]
        Map<String, String> stochastic = Map.of("gradRounding", "stochastic");
        try (Step step = new Step(stochastic);
                Step again = new Step(stochastic);
                Step nearest = new Step(Map.of())) {
            byte[] first = step.codes(Role.GRAD_OUTPUT, x, 1, 128);
            assertArrayEquals(first, again.codes(Role.GRAD_OUTPUT, x, 1, 128));
            byte[] ofNearest = nearest.codes(Role.GRAD_OUTPUT, x, 1, 128);
            step.begin(1);
            assertNotEquals(Golden.crc(first), Golden.crc(step.codes(Role.GRAD_OUTPUT, x, 1, 128)));
            assertNotEquals(Golden.crc(first), Golden.crc(ofNearest));
            for (Role role : new Role[] {Role.INPUT, Role.WEIGHT}) {
                assertArrayEquals(nearest.codes(role, x, 1, 128), step.codes(role, x, 1, 128));
            }
        }
    }
}
