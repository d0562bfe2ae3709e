package dev.nibble.quant.luq;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.gemm.Product;
import dev.nibble.host.HostQuantized;
import dev.nibble.quant.Contraction;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.Statistic;
import dev.nibble.random.Purpose;
import dev.nibble.random.RandomStream;
import dev.nibble.reference.ElementCode;
import dev.nibble.spi.PlanRequest;
import dev.nibble.spi.StepContext;
import dev.nibble.tensor.Nibbles;
import dev.nibble.tensor.Role;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class GradientCodeTests {
    private static PlaneSpec plane(Map<String, String> options) {
        return Layer.quantizer(options, false)
                .plan(new PlanRequest(1, false))
                .gradOutput()
                .operand(Contraction.COLUMNS)
                .planes()
                .getFirst();
    }

    /** Checks what one scaled value becomes, and that a negative one becomes the same below zero. */
    private static void assertCode(String gradQuant, float t, float u, int expected) {
        PlaneSpec plane = plane(Map.of("gradQuant", gradQuant));
        assertEquals(expected, Nibbles.value(plane.format(), ElementCode.bits(plane, t, u)), "of " + t);
        assertEquals(-expected, Nibbles.value(plane.format(), ElementCode.bits(plane, -t, u)), "of " + -t);
    }

    @ParameterizedTest
    @CsvSource({
        "0, 0, 0",
        "0, 0.9999, 0",
        "0.25, 0.2499, 1",
        "0.25, 0.25, 0",
        "1, 0, 1",
        "1, 0.9999, 1",
        "1.5, 0.4999, 2",
        "1.5, 0.5, 1",
        "3, 0.4999, 4",
        "3, 0.5, 2",
        "5, 0.2499, 8",
        "5, 0.25, 4",
        "63.9, 0.9, 64",
        "63.9, 0.997, 32",
        "64, 0, 64",
        "64, 0.9999, 64",
        "100, 0, 64",
        "100, 0.9999, 64",
    })
    void valueAndUniformNumberDecideTheCode(float t, float u, int expected) {
        assertCode("luq", t, u, expected);
    }

    @ParameterizedTest
    @CsvSource({
        "0, 0",
        "0.4999, 0",
        "0.5, 1",
        "1, 1",
        "1.4999999, 1",
        "1.5, 2",
        "2.9999998, 2",
        "3, 4",
        "47.999996, 32",
        "48, 64",
        "64, 64",
        "1000, 64"
    })
    void nearestPowerTurnsAtOneAndAHalf(float t, int expected) {
        assertCode("rdnp", t, 0, expected);
        assertCode("rdnp", t, 0.9999f, expected);
        assertCode("fp4-flush", t, 0, t < 1 ? 0 : expected);
        if (t >= 1 && t < 64) { // on the bits: half of the mantissa carries into the exponent
            int bits = (Float.floatToRawIntBits(t) + 0x00400000) & 0x7F800000;
            assertEquals(expected, Float.intBitsToFloat(bits));
        }
    }

    @ParameterizedTest
    @CsvSource({
        "0.25, 0.2499, 1",
        "0.25, 0.25, 0",
        "1, 0, 1",
        "1.5, 0.58490, 2", // log2(1.5) = 0.584963
        "1.5, 0.58500, 1",
        "6, 0.58490, 8",
        "6, 0.58500, 4",
        "33, 0.04438, 64", // log2(33/32) = 0.044394
        "33, 0.04441, 32",
        "64, 0, 64",
    })
    void exponentIsDrawnByItsFraction(float t, float u, int expected) {
        assertCode("log-sr", t, u, expected);
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 1000, 0x7FFFFF})
    void underflowKeepsTheGridOfTheUniformNumbers(int multiple) {
        float t = multiple * RandomStream.UNIT;
        assertCode("luq", t, (multiple - 1) * RandomStream.UNIT, 1); // so P = multiple · 2^-24 = t: no bias
        assertCode("luq", t, multiple * RandomStream.UNIT, 0);
        // Between two points of the grid the probability is that of the upper one: at most 2^-24 too much.
        assertCode("luq", Math.nextUp(t), multiple * RandomStream.UNIT, 1);
        assertCode("luq", Math.nextUp(t), (multiple + 1) * RandomStream.UNIT, 0);
    }

    /** The law in FP64, from the definition alone: up iff u is less than the way from the power below to the one above. */
    private static int law(double t, double u, int exponent) {
        if (t < 1) {
            return u < t ? 1 : 0;
        }
        int power =
                (int) Math.floor(Math.log(t) / Math.log(2) + 1e-12); // t is no nearer to a power from below than 2^-24
        double below = Math.scalb(1.0, power);
        double level = u < (t - below) / below ? 2 * below : below;
        return (int) Math.min(level, Math.scalb(1.0, exponent));
    }

    @ParameterizedTest
    @CsvSource({
        "1, 1, 6, false",
        "1, 13, 6, false",
        "13, 1, 6, false",
        "3, 127, 6, false",
        "5, 128, 4, false",
        "7, 129, 7, false",
        "9, 129, 8, false",
        "4, 127, 6, true",
        "2, 128, 8, true",
    })
    void everyElementHasTheCodeOfItsOwnUniformNumber(int rows, int cols, int exponent, boolean powerOfTwo) {
        float[] x = Samples.logNormal(rows * 1000L + cols, rows * cols, 2);
        Map<String, String> options =
                Map.of("exponent", String.valueOf(exponent), "powerOfTwo", String.valueOf(powerOfTwo));
        try (Layer layer = new Layer(options)) {
            layer.begin(new StepContext(17, 3, StepContext.Mode.TRAIN, 0));
            HostQuantized quantized = layer.gradient(x, rows, cols);
            float scale = Layer.scale(quantized);
            float exact = Samples.amax(x) / (1 << exponent);
            if (powerOfTwo) {
                assertEquals(0, Float.floatToRawIntBits(scale) & 0x7FFFFF, scale + " is a power of two");
                assertTrue(scale >= exact && scale < 2 * exact, scale + " for " + exact);
            } else {
                assertEquals(exact, scale);
            }
            RandomStream stream =
                    new RandomStream(Layer.SEED, 17, 3, Layer.SITE.ordinal(), Role.GRAD_OUTPUT, Purpose.ROUND, 0);
            int[] expected = new int[x.length]; // [rows, cols]
            for (int i = 0; i < x.length; i++) {
                int magnitude = law(Math.abs(x[i]) / scale, stream.uniform(i), exponent);
                expected[i] = x[i] < 0 ? -magnitude : magnitude;
            }
            assertArrayEquals(expected, Layer.codes(quantized));
            assertArrayEquals(expected, Layer.codes(quantized, Contraction.ROWS, 0), "the transpose is the same draw");
        }
    }

    @ParameterizedTest
    @ValueSource(
            floats = {0x1p-100f, 1e-20f, 0.1f, 0.9999999f, 1, 1.0000001f, 3, 1e10f, Float.MAX_VALUE, -Float.MAX_VALUE})
    void largestElementIsReproducedExactlyAndNothingExceedsIt(float amax) {
        float[] x = Samples.logNormal(3, 128, 3);
        float largest = Samples.amax(x);
        for (int i = 0; i < x.length; i++) {
            x[i] = x[i] / largest * (amax / 2);
        }
        x[77] = amax;
        for (String exponent : List.of("4", "6", "7", "8")) {
            try (Layer layer = new Layer(Map.of("exponent", exponent))) {
                for (int step = 0; step < 20; step++) {
                    layer.begin(step);
                    float[] values = layer.dequantize(layer.gradient(x, 8, 16).operand(Contraction.COLUMNS)); // [8, 16]
                    assertEquals(amax, values[77]);
                    assertEquals(Math.abs(amax), Samples.amax(values));
                }
            }
        }
    }

    @ParameterizedTest
    @CsvSource({"4, 11", "6, 15", "7, 17", "8, 19"})
    void noMoreLevelsThanTheFormatHas(int exponent, int levels) {
        float[] x = Samples.logNormal(5, 1 << 14, 3);
        try (Layer layer = new Layer(Map.of("exponent", String.valueOf(exponent)))) {
            Set<Integer> found = new HashSet<>();
            Arrays.stream(Layer.codes(layer.gradient(x, 128, 128))).forEach(found::add);
            assertTrue(found.contains(0));
            assertTrue(found.stream().allMatch(c -> Integer.bitCount(Math.abs(c)) <= 1), found.toString());
            assertTrue(found.size() > levels / 2 && found.size() <= levels, found.size() + " of " + levels);
            assertTrue(found.stream().allMatch(c -> Math.abs(c) <= 1 << exponent), found.toString());
        }
    }

    @ParameterizedTest
    @ValueSource(floats = {0x1p-40f, 0.5f, 2, 0x1p60f, -1, -8})
    void powersOfTwoChangeTheScaleAlone(float factor) {
        float[] x = Samples.logNormal(7, 13 * 129, 2);
        float[] scaled = new float[x.length]; // [13, 129]
        for (int i = 0; i < x.length; i++) {
            scaled[i] = factor * x[i];
        }
        for (String gradQuant : List.of("luq", "rdnp", "log-sr")) {
            try (Layer layer = new Layer(Map.of("gradQuant", gradQuant))) {
                HostQuantized first = layer.gradient(x, 13, 129);
                HostQuantized second = layer.gradient(scaled, 13, 129);
                assertEquals(Math.abs(factor) * Layer.scale(first), Layer.scale(second));
                int sign = factor < 0 ? -1 : 1;
                assertArrayEquals(
                        Arrays.stream(Layer.codes(first)).map(c -> sign * c).toArray(), Layer.codes(second));
            }
        }
    }

    @ParameterizedTest
    @ValueSource(floats = {0, -0f, Float.MIN_VALUE, -Float.MIN_NORMAL, 0x1.fffffep-101f})
    void tensorBelowTheSmallestMaximumIsZero(float value) {
        float[] x = {value, -value, 0, -0f, value, 0};
        try (Layer layer = new Layer(Map.of())) {
            HostQuantized quantized = layer.gradient(x, 2, 3);
            assertEquals(0, Layer.scale(quantized));
            assertArrayEquals(new int[6], Layer.codes(quantized));
            HostQuantized weight = layer.quantize(Role.WEIGHT, Samples.normal(1, 12, 1), 3, 4);
            assertArrayEquals(new float[8], layer.multiply(Product.GRAD_INPUT, quantized, weight));
        }
    }

    @Test
    void subnormalElementsOfAnOrdinaryTensorVanish() {
        // t = 2^-149 · 64 / 1 is less than the step of the uniform numbers: one draw in 2^24 could see it.
        float[] x = {1, Float.MIN_VALUE, -Float.MIN_VALUE, -1};
        try (Layer layer = new Layer(Map.of())) {
            assertArrayEquals(new int[] {64, 0, 0, -64}, Layer.codes(layer.gradient(x, 1, 4)));
        }
    }

    @Test
    void equalMagnitudesAreAllTheTopCode() {
        float[] x = {0.3f, -0.3f, -0.3f, 0.3f, 0.3f, -0.3f};
        try (Layer layer = new Layer(Map.of())) {
            HostQuantized quantized = layer.gradient(x, 2, 3);
            assertArrayEquals(new int[] {64, -64, -64, 64, 64, -64}, Layer.codes(quantized));
            assertArrayEquals(x, layer.dequantize(quantized.operand(Contraction.COLUMNS)));
        }
    }

    @ParameterizedTest
    @ValueSource(floats = {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY})
    void whatIsNotFiniteNeverBecomesANumber(float value) {
        for (String gradQuant : List.of("luq", "rdnp", "fp4-flush", "log-sr", "int4-sr")) {
            try (Layer layer = new Layer(Map.of("gradQuant", gradQuant))) {
                HostQuantized quantized = layer.gradient(new float[] {1, value, 2, 3}, 2, 2);
                assertTrue(Float.isNaN(Layer.scale(quantized)), gradQuant);
                assertEquals(Math.abs(value), Layer.statistic(quantized, Statistic.AMAX));
                HostQuantized weight = layer.quantize(Role.WEIGHT, new float[] {1, 1}, 2, 1);
                for (float product : layer.multiply(Product.GRAD_INPUT, quantized, weight)) {
                    assertTrue(Float.isNaN(product), gradQuant + ": " + product);
                }
                layer.scope().close();
                assertEquals(1, layer.backend().takeNonFinite().size());
            }
        }
    }

    @Test
    void uniformStochasticCodesAreFloorOrOneMore() {
        float[] x = Samples.normal(9, 13 * 13, 1);
        try (Layer layer = new Layer(Map.of("gradQuant", "int4-sr"))) {
            HostQuantized quantized = layer.gradient(x, 13, 13);
            assertEquals(Samples.amax(x) / 7, Layer.scale(quantized));
            int[] codes = Layer.codes(quantized); // [13, 13]
            RandomStream stream =
                    new RandomStream(Layer.SEED, 0, 0, Layer.SITE.ordinal(), Role.GRAD_OUTPUT, Purpose.ROUND, 0);
            for (int i = 0; i < x.length; i++) {
                float t = x[i] * (7 / Samples.amax(x));
                double floor = Math.floor(t);
                assertEquals(Math.min(7, floor + (stream.uniform(i) < t - floor ? 1 : 0)), codes[i], "element " + i);
            }
        }
    }
}
