package dev.nibble.quant.luq;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.gemm.Product;
import dev.nibble.host.HostOperand;
import dev.nibble.host.HostQuantized;
import dev.nibble.host.HostTensor;
import dev.nibble.quant.Contraction;
import dev.nibble.spi.Operand;
import dev.nibble.spi.PlanRequest;
import dev.nibble.spi.StepContext;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Role;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The three products, what is kept between the passes, and the phase of fine-tuning. */
class ProductTests {
    private static final int TOKENS = 129;
    private static final int IN = 127;
    private static final int OUT = 13;

    private final float[] x = Samples.normal(61, TOKENS * IN, 1); // [tokens, in]
    private final float[] w = Samples.normal(62, OUT * IN, 0.05); // [out, in]
    private final float[] dy = Samples.logNormal(63, TOKENS * OUT, 2); // [tokens, out]

    /** {@return the sum over k of a and b, given where an element lies, as an exact integer; [m, n]} */
    private static long[] exact(int[] a, int rowA, int stepA, int[] b, int rowB, int stepB, int m, int n, int k) {
        long[] sums = new long[m * n]; // [m, n]
        for (int i = 0; i < sums.length; i++) {
            for (int at = 0; at < k; at++) {
                sums[i] += (long) a[i / n * rowA + at * stepA] * b[i % n * rowB + at * stepB];
            }
        }
        return sums;
    }

    private static float planeScale(HostQuantized quantized, Contraction contraction, int plane) {
        return HostTensor.floats(HostOperand.of(quantized.operand(contraction))
                .planes()
                .get(plane)
                .scales())[0];
    }

    @ParameterizedTest
    @CsvSource({"6, strict4", "4, strict4", "7, strict4", "8, ref", "6, ref"})
    void productsAreExactIntegersScaledOnce(String exponent, String mode) {
        try (Layer layer = new Layer(Map.of("exponent", exponent, "intMode", mode))) {
            HostQuantized input = layer.quantize(Role.INPUT, x, TOKENS, IN);
            HostQuantized weight = layer.quantize(Role.WEIGHT, w, OUT, IN);
            HostQuantized gradient = layer.gradient(dy, TOKENS, OUT);
            int[] cx = Layer.codes(input);
            int[] cw = Layer.codes(weight);
            int[] cd = Layer.codes(gradient);
            assertScaled(
                    exact(cx, IN, 1, cw, IN, 1, TOKENS, OUT, IN),
                    input,
                    weight,
                    layer.multiply(Product.OUTPUT, input, weight));
            assertScaled(
                    exact(cd, OUT, 1, cw, 1, IN, TOKENS, IN, OUT),
                    gradient,
                    weight,
                    layer.multiply(Product.GRAD_INPUT, gradient, weight));
            assertScaled(
                    exact(cd, 1, OUT, cx, 1, IN, OUT, IN, TOKENS),
                    gradient,
                    input,
                    layer.multiply(Product.GRAD_WEIGHT, gradient, input));
        }
    }

    private static void assertScaled(long[] sums, HostQuantized a, HostQuantized b, float[] product) {
        float scale = Layer.scale(a) * Layer.scale(b);
        float[] expected = new float[sums.length]; // [m, n]
        for (int i = 0; i < sums.length; i++) {
            assertTrue(Math.abs(sums[i]) < 1 << 24, "the sum is exact in FP32 too");
            expected[i] = Math.fma(scale, (float) sums[i], 0f);
        }
        assertArrayEquals(expected, product);
    }

    @Test
    void samplesOfAProductAddUpWithEqualWeights() {
        Map<String, String> options = Map.of("samplesGradWeight", "3", "samplesGradInput", "2");
        try (Layer layer = new Layer(options)) {
            HostQuantized input = layer.quantize(Role.INPUT, x, TOKENS, IN);
            HostQuantized gradient = layer.gradient(dy, TOKENS, OUT);
            float[] expected = new float[OUT * IN]; // [out, in]
            for (int sample = 0; sample < 3; sample++) {
                int[] codes = Layer.codes(gradient, Contraction.ROWS, sample); // [tokens, out]
                float scale = 1f / 3 * planeScale(gradient, Contraction.ROWS, sample);
                long[] sums = exact(codes, 1, OUT, Layer.codes(input), 1, IN, OUT, IN, TOKENS);
                for (int i = 0; i < expected.length; i++) {
                    expected[i] = Math.fma(scale * Layer.scale(input), (float) sums[i], expected[i]);
                }
            }
            assertArrayEquals(expected, layer.multiply(Product.GRAD_WEIGHT, gradient, input));
        }
    }

    @Test
    void samplesAreDrawsOfTheirOwnAtOneScale() {
        Map<String, String> options = Map.of("samplesGradWeight", "16", "samplesGradInput", "2");
        try (Layer layer = new Layer(options);
                Layer single = new Layer(Map.of())) {
            HostQuantized gradient = layer.gradient(dy, TOKENS, OUT);
            int[] first = Layer.codes(gradient, Contraction.ROWS, 0);
            assertArrayEquals(
                    Layer.codes(single.gradient(dy, TOKENS, OUT)), first, "the first one is the only one's draw");
            for (int sample = 0; sample < 16; sample++) {
                assertEquals(planeScale(gradient, Contraction.ROWS, 0), planeScale(gradient, Contraction.ROWS, sample));
                int[] codes = Layer.codes(gradient, Contraction.ROWS, sample);
                if (sample < 2) {
                    assertArrayEquals(codes, Layer.codes(gradient, Contraction.COLUMNS, sample), "of both products");
                }
                int differing = 0;
                for (int i = 0; i < codes.length; i++) {
                    differing += codes[i] != first[i] ? 1 : 0;
                }
                assertTrue(sample == 0 || differing > codes.length / 20, sample + ": " + differing);
            }
        }
    }

    @ParameterizedTest
    @CsvSource({
        "luq, none",
        "int4-sr, none",
        "none, strict4",
        "none, ref",
        "none, none",
        "luq, strict4",
        "fp4-flush, ref"
    })
    void everyMixtureOfFormatsMultiplies(String gradQuant, String mode) {
        // Against FP64 of what the codes mean. Chains of at most 128 products, their scaling and folding: n = 128 + 4
        // roundings,
        // or, without scales, one chain of 129; each at most 2^-24 of the sum of magnitudes.
        double unit = (129 + 4) * 0x1.01p-24;
        try (Layer layer = new Layer(Map.of("gradQuant", gradQuant, "intMode", mode))) {
            HostQuantized input = layer.quantize(Role.INPUT, x, TOKENS, IN);
            HostQuantized weight = layer.quantize(Role.WEIGHT, w, OUT, IN);
            HostQuantized gradient = layer.gradient(dy, TOKENS, OUT);
            Map<Role, HostQuantized> all = Map.of(Role.INPUT, input, Role.WEIGHT, weight, Role.GRAD_OUTPUT, gradient);
            for (Product product : Product.values()) {
                Operand a = all.get(product.roleA()).operand(product.contractionA());
                Operand b = all.get(product.roleB()).operand(product.contractionB());
                float[] left = layer.dequantize(a); // [m, k]
                float[] right = layer.dequantize(b); // [n, k]
                float[] found = layer.multiply(product, all.get(product.roleA()), all.get(product.roleB())); // [m, n]
                int n = (int) b.rows();
                int k = (int) a.k();
                for (int i = 0; i < found.length; i++) {
                    double sum = 0;
                    double magnitudes = 0;
                    for (int at = 0; at < k; at++) {
                        double term = (double) left[i / n * k + at] * right[i % n * k + at];
                        sum += term;
                        magnitudes += Math.abs(term);
                    }
                    // dequantize rounds a value once, and so does the product of scales
                    assertEquals(sum, found[i], (unit + 4 * 0x1p-24) * magnitudes, product + " element " + i);
                }
            }
        }
    }

    @Test
    void fineTuningMultipliesWideTensorsByTheCodesOfTheWeight() {
        try (Layer layer = new Layer(Map.of())) {
            float[] rounded =
                    layer.dequantize(layer.quantize(Role.WEIGHT, w, OUT, IN).operand(Contraction.COLUMNS)); // [out, in]
            layer.begin(new StepContext(1, 0, StepContext.Mode.TRAIN, 0, PlanRequest.Phase.FINE_TUNE));
            HostQuantized input = layer.quantize(Role.INPUT, x, TOKENS, IN);
            HostQuantized weight = layer.quantize(Role.WEIGHT, w, OUT, IN);
            HostQuantized gradient = layer.gradient(dy, TOKENS, OUT);
            assertArrayEquals(x, layer.dequantize(input.operand(Contraction.COLUMNS)));
            assertEquals(DType.FP32, input.operand(Contraction.ROWS).storedFormat(0));
            assertEquals(DType.FP32, gradient.operand(Contraction.ROWS).storedFormat(0));
            assertEquals(DType.INT4, weight.operand(Contraction.ROWS).storedFormat(0));
            assertArrayEquals(rounded, layer.dequantize(weight.operand(Contraction.COLUMNS)));
            float[] y = layer.multiply(Product.OUTPUT, input, weight); // [tokens, out]
            float[] dx = layer.multiply(Product.GRAD_INPUT, gradient, weight); // [tokens, in]
            for (int token = 0; token < TOKENS; token++) {
                assertClose(y[token * OUT], x, token * IN, 1, rounded, 0, 1, IN);
                assertClose(dx[token * IN + 3], dy, token * OUT, 1, rounded, 3, IN, OUT);
            }
        }
    }

    private static void assertClose(
            float found, float[] a, int fromA, int stepA, float[] b, int fromB, int stepB, int k) {
        double sum = 0;
        double magnitudes = 0;
        for (int at = 0; at < k; at++) {
            double term = (double) a[fromA + at * stepA] * b[fromB + at * stepB];
            sum += term;
            magnitudes += Math.abs(term);
        }
        assertEquals(sum, found, (k + 4) * 0x1.01p-24 * magnitudes); // a chain, a scale, and the rounding of b
    }

    @ParameterizedTest
    @CsvSource({"128, 129", "129, 127", "1024, 64", "64, 1000", "13, 130"})
    void keptInputTakesHalfAByteAnElement(int tokens, int in) {
        for (boolean nonNegative : new boolean[] {true, false}) {
            try (Layer layer = new Layer(Map.of(), nonNegative)) {
                float[] values = Samples.normal(71, tokens * in, 1);
                for (int i = 0; nonNegative && i < values.length; i++) {
                    values[i] = Math.abs(values[i]);
                }
                Operand kept;
                try (HostQuantized input = layer.quantize(Role.INPUT, values, tokens, in)) {
                    kept = input.operand(Contraction.ROWS).share();
                    layer.scope().save(kept);
                }
                double bytes = layer.backend().memory().live(MemoryTag.CONTEXT) / (double) values.length;
                assertTrue(bytes >= 0.5 && bytes <= 0.55, bytes + " bytes an element");
                kept.close();
                assertEquals(0, layer.backend().memory().live(MemoryTag.CONTEXT));
                assertEquals(0, layer.backend().memory().live(MemoryTag.SCRATCH), "and nothing else is left");
            }
        }
    }

    @Test
    void reportNamesThePackedFormats() {
        try (Layer layer = new Layer(Map.of("samplesGradWeight", "2"), true)) {
            float[] positive = new float[x.length]; // [tokens, in]
            for (int i = 0; i < x.length; i++) {
                positive[i] = Math.abs(x[i]);
            }
            HostQuantized input = layer.quantize(Role.INPUT, positive, TOKENS, IN);
            HostQuantized gradient = layer.gradient(dy, TOKENS, OUT);
            layer.multiply(Product.GRAD_WEIGHT, gradient, input);
            var row = layer.backend().log().rows().getLast();
            assertEquals(row.requestedFormat(), row.storedFormat());
            assertTrue(row.fromStoredCodes());
            assertTrue(
                    row.storedFormat().contains("e3m0+e3m0")
                            && row.storedFormat().contains("uint4"),
                    row.storedFormat());
        }
    }

    @Test
    void paddingOfAnOddRowIsCodeZero() {
        // Memory is used again: the half byte at the end of a row must not keep what was there.
        try (Layer layer = new Layer(Map.of())) {
            float[] ones = new float[4]; // [1, 4] and [2, 2]: the bytes of [2, 1]
            Arrays.fill(ones, -1);
            layer.gradient(ones, 1, 4).close();
            layer.quantize(Role.WEIGHT, ones, 1, 4).close();
            for (Role role : List.of(Role.WEIGHT, Role.GRAD_OUTPUT)) {
                HostQuantized odd = layer.quantize(role, new float[] {1, 1}, 2, 1);
                byte[] bytes = HostOperand.of(odd.operand(Contraction.COLUMNS))
                        .planes()
                        .getFirst()
                        .codes()
                        .bytes();
                for (byte pair : bytes) {
                    assertEquals(0, pair >> 4, role + " " + pair);
                }
            }
        }
    }
}
