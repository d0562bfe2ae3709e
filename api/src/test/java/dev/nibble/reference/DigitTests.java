package dev.nibble.reference;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.host.HostOperand;
import dev.nibble.host.HostPlane;
import dev.nibble.host.HostQuantized;
import dev.nibble.quant.Contraction;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.SplitMode;
import dev.nibble.quant.Statistic;
import dev.nibble.random.Purpose;
import dev.nibble.random.RandomStream;
import dev.nibble.spi.NonFinite;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Nibbles;
import dev.nibble.tensor.Role;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

class DigitTests {
    private static final int DRAWS = 2000;

    private static QuantizeSpec spec(SplitMode mode) {
        return QuantizeSpec.both(Role.GRAD_OUTPUT, PlaneSpec.digits(mode));
    }

    /** The digits of a plane in the order of the operand that contracts the columns, [rows · cols]. */
    private static int[] digits(HostOperand operand, int plane) {
        HostPlane stored = operand.planes().get(plane);
        assertEquals(DType.INT4, stored.codes().dtype());
        int cols = (int) operand.k();
        int[] digits = new int[(int) operand.rows() * cols]; // [rows, cols]
        for (int i = 0; i < digits.length; i++) {
            int at = i / cols * stored.pitch() + i % cols;
            digits[i] = Nibbles.value(DType.INT4, Nibbles.get(stored.codes().bytes(), at));
        }
        return digits;
    }

    private static float[] uniforms(int step, int count) {
        RandomStream stream =
                new RandomStream(Session.SEED, step, 0, Session.SITE.ordinal(), Role.GRAD_OUTPUT, Purpose.ROUND, 0);
        float[] uniforms = new float[count]; // [count]
        for (int i = 0; i < count; i++) {
            uniforms[i] = stream.uniform(i);
        }
        return uniforms;
    }

    @Test
    void unbiasedDigitsOfWholeNumbersAreTheNumbers() {
        float[] x = new float[239]; // every value of v; amax is the top, so that the scale is 1
        for (int i = 0; i < x.length; i++) {
            x[i] = i - 119;
        }
        try (Session session = new Session()) {
            HostOperand operand =
                    Session.operand(session.quantize(spec(SplitMode.UNBIASED), x, 1, x.length), Contraction.COLUMNS);
            int[] upper = digits(operand, 0);
            int[] lower = digits(operand, 1);
            for (int i = 0; i < x.length; i++) {
                assertEquals(x[i], 16 * upper[i] + lower[i]);
                assertTrue(Math.abs(upper[i]) <= 7, "upper " + upper[i]);
                assertTrue(lower[i] >= -8 && lower[i] <= 7, "lower " + lower[i]);
            }
            assertArrayEquals(new float[] {16}, Session.scales(operand, 0));
            assertArrayEquals(new float[] {1}, Session.scales(operand, 1));
            assertArrayEquals(x, session.dequantize(operand));
        }
    }

    @ParameterizedTest
    @CsvSource({"1, 1", "1, 13", "2, 127", "3, 128", "1, 129"})
    void unbiasedDigitsFollowTheFormulaBitForBit(int rows, int cols) {
        float[] x = Data.withOutliers(cols, rows * cols, 40);
        try (Session session = new Session()) {
            HostQuantized quantized = session.quantize(spec(SplitMode.UNBIASED), x, rows, cols);
            HostOperand operand = Session.operand(quantized, Contraction.COLUMNS);
            int[] upper = digits(operand, 0);
            int[] lower = digits(operand, 1);
            float[] u = uniforms(Session.STEP, x.length);
            float multiplier = 119 / Data.amax(x);
            for (int i = 0; i < x.length; i++) {
                double t = x[i] * multiplier;
                double floor = Math.floor(t);
                double v = Math.clamp(floor + (u[i] < (float) (t - floor) ? 1 : 0), -119, 119);
                assertEquals(v, 16.0 * upper[i] + lower[i], "element " + i);
                assertTrue(Math.abs(upper[i]) <= 7 && lower[i] >= -8 && lower[i] <= 7);
            }
            float scale = Data.amax(x) / 119;
            assertArrayEquals(new float[] {16 * scale}, Session.scales(operand, 0));
            assertArrayEquals(new float[] {scale}, Session.scales(operand, 1));
            assertEquals(16 * scale, Session.statistic(quantized, Statistic.SCALE));
            float[] turned = session.dequantize(Session.operand(quantized, Contraction.ROWS)); // [cols, rows]
            assertArrayEquals(Data.transpose(session.dequantize(operand), rows, cols), turned, "one draw for both");
        }
    }

    @ParameterizedTest
    @CsvSource({"1, 13", "3, 128", "1, 129"})
    void releasedDigitsFollowTheFormulaBitForBit(int rows, int cols) {
        float[] x = Data.withOutliers(cols, rows * cols, 40);
        try (Session session = new Session()) {
            HostOperand operand =
                    Session.operand(session.quantize(spec(SplitMode.RELEASED), x, rows, cols), Contraction.COLUMNS);
            int[] upper = digits(operand, 0);
            int[] lower = digits(operand, 1);
            float[] u = uniforms(Session.STEP, x.length);
            float multiplier = 98 / Data.amax(x);
            for (int i = 0; i < x.length; i++) {
                float t = x[i] * multiplier;
                double high = Math.clamp(Math.rint(t / 14), -6, 6);
                float rest = (float) (t - 14 * high);
                double low = Math.floor(rest) + (u[i] < rest - (float) Math.floor(rest) ? 1 : 0);
                assertEquals((int) high, upper[i], "element " + i);
                assertEquals((int) Math.clamp(low, -6, 6), lower[i], "element " + i);
            }
            float scale = Data.amax(x) / 98;
            assertArrayEquals(new float[] {14 * scale}, Session.scales(operand, 0));
            assertArrayEquals(new float[] {scale}, Session.scales(operand, 1));
        }
    }

    @ParameterizedTest
    @ValueSource(floats = {1, -1})
    void releasedDigitsLoseEightOfNinetyEightOfTheLargestElementAndNoMore(float sign) {
        float[] x = new float[98 * 8 + 1]; // every eighth of a unit up to amax
        for (int i = 0; i < x.length; i++) {
            x[i] = sign * i / 8f;
        }
        try (Session session = new Session()) {
            float[] values = session.dequantize(
                    Session.operand(session.quantize(spec(SplitMode.RELEASED), x, 1, x.length), Contraction.COLUMNS));
            assertEquals(sign * 90, values[x.length - 1]); // 8.16 % less
            for (int i = 0; i < x.length; i++) {
                assertTrue(Math.abs(x[i]) - Math.abs(values[i]) <= 8, "element " + i + " became " + values[i]);
            }
        }
    }

    /** Largest |mean - x| in standard errors, by element, each from the variance p · (1 - p) of its draws. */
    private static double largestZ(SplitMode mode, float[] x, double[] errors) {
        double[] sums = new double[x.length]; // [elements]
        for (int draw = 0; draw < DRAWS; draw++) {
            try (Session session = new Session(draw)) {
                float[] values = session.dequantize(
                        Session.operand(session.quantize(spec(mode), x, 1, x.length), Contraction.COLUMNS));
                for (int i = 0; i < x.length; i++) {
                    sums[i] += values[i] - (double) x[i];
                    errors[i] += Math.pow(values[i] - (double) x[i], 2) / DRAWS;
                }
            }
        }
        float unit = Data.amax(x) / mode.top();
        double largest = 0;
        for (int i = 0; i < x.length; i++) {
            double p = x[i] / unit - Math.floor(x[i] / unit);
            // FP32 scaling is off by less than 119 · 3 · 2^-24 of a unit.
            double rounding = 3 * mode.top() * 0x1p-24 * unit;
            double deviation = unit * Math.sqrt(p * (1 - p) / DRAWS);
            largest = Math.max(largest, (Math.abs(sums[i] / DRAWS) - rounding) / deviation);
        }
        return largest;
    }

    /** In units of mode R: residuals above 6, which it clips, and the largest element. */
    private static float[] gradient() {
        float[] x = new float[64]; // [elements]
        for (int i = 0; i < x.length; i++) {
            x[i] = (i % 2 == 0 ? 1 : -1) * (14 * (i % 6) + 6.1f + 0.7f * i / x.length);
        }
        x[7] = 98;
        return x;
    }

    @Test
    void meanOfUnbiasedDigitsIsTheTensorWithTheVarianceOfOneRounding() {
        float[] x = gradient();
        x[7] = 97.99f; // a whole number has no variance to judge by
        double[] errors = new double[x.length]; // mean squared errors, [elements]
        double z = largestZ(SplitMode.UNBIASED, x, errors);
        assertTrue(z < 5, "largest z " + z);
        double unit = Data.amax(x) / 119;
        double measured = 0;
        double expected = 0;
        double fourth = 0; // variance of the sum of squared errors over one draw
        for (int i = 0; i < x.length; i++) {
            double f = x[i] / unit - Math.floor(x[i] / unit);
            measured += errors[i];
            expected += unit * unit * f * (1 - f);
            fourth += Math.pow(unit, 4) * f * (1 - f) * (Math.pow(1 - f, 3) + Math.pow(f, 3) - f * (1 - f));
        }
        assertEquals(expected, measured, 5 * Math.sqrt(fourth / DRAWS));
        assertTrue(expected <= x.length * unit * unit / 4);
    }

    @Test
    void meanOfReleasedDigitsIsNot() {
        double z = largestZ(SplitMode.RELEASED, gradient(), new double[64]);
        assertTrue(z > 5, "largest z " + z);
    }

    @ParameterizedTest
    @EnumSource(SplitMode.class)
    void zerosAndTensorsTooSmallToScaleGiveZeros(SplitMode mode) {
        for (float value : new float[] {0f, -0f, Float.MIN_VALUE, Math.nextDown(0x1p-119f)}) {
            try (Session session = new Session()) {
                HostQuantized quantized = session.quantize(spec(mode), new float[] {value, -value, 0}, 3, 1);
                HostOperand operand = Session.operand(quantized, Contraction.COLUMNS);
                assertArrayEquals(new int[3], digits(operand, 0));
                assertArrayEquals(new int[3], digits(operand, 1));
                assertArrayEquals(new float[3], session.dequantize(operand));
                assertEquals(List.of(), session.takeNonFinite());
            }
        }
    }

    @ParameterizedTest
    @EnumSource(SplitMode.class)
    void largestAndSmallestTensorsKeepTheirRange(SplitMode mode) {
        for (float amax : new float[] {0x1p-119f, Float.MAX_VALUE}) {
            float[] x = {amax, -amax, amax / 2, 0};
            try (Session session = new Session()) {
                HostOperand operand = Session.operand(session.quantize(spec(mode), x, 2, 2), Contraction.COLUMNS);
                float[] values = session.dequantize(operand); // [2, 2]
                double unit = amax / (double) mode.top();
                double loss = mode == SplitMode.RELEASED ? 8 : 0;
                // One unit of rounding, and a subnormal scale's own rounding in 16 · 7 codes.
                double slack = 1.001 * unit + 112 * Float.MIN_VALUE;
                assertEquals(amax - loss * unit, values[0], slack);
                assertEquals(-amax + loss * unit, values[1], slack);
                assertEquals(amax / 2, values[2], slack);
                assertEquals(0, values[3]);
            }
        }
    }

    @ParameterizedTest
    @EnumSource(SplitMode.class)
    void tensorThatIsNotFiniteHasScaleNanAndIsNoted(SplitMode mode) {
        for (float bad : new float[] {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY}) {
            try (Session session = new Session()) {
                HostOperand operand = Session.operand(
                        session.quantize(spec(mode), new float[] {1, bad, 2}, 1, 3), Contraction.COLUMNS);
                assertArrayEquals(new int[3], digits(operand, 0));
                assertArrayEquals(new int[3], digits(operand, 1));
                for (float value : session.dequantize(operand)) {
                    assertTrue(Float.isNaN(value));
                }
                assertEquals(List.of(new NonFinite(Session.SITE, Role.GRAD_OUTPUT)), session.takeNonFinite());
            }
        }
    }
}
