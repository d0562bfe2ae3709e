package dev.nibble.quant.luq;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.gemm.Product;
import dev.nibble.host.HostQuantized;
import dev.nibble.quant.Contraction;
import dev.nibble.tensor.Role;
import java.util.Arrays;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Codes and scales of X and W. */
class IntegerCodeTests {
    private static final double UNIT = 0x1p-24; // half an ulp of 1
    private static final double C1 = 12.1f;
    private static final double C2 = 12.2f;

    /** The clip in FP64, and how far FP32 may be from it. */
    private record Clip(double value, double bound) {
        /**
         * A mean of n = rows · cols numbers of one sign is two trees, each of chains of a sixteenth and four folds, the products
         * rounded within the chain (fma), and a division: within d = cols/16 + rows/16 + 11 roundings. The root halves that and adds
         * one; times c1 and c2, one each; the difference, one.
         */
        static Clip of(float[] x, int rows, int cols) {
            double square = 0;
            double magnitude = 0;
            for (float v : x) {
                square += (double) v * v / x.length;
                magnitude += Math.abs(v) / (double) x.length;
            }
            double d = cols / 16.0 + rows / 16.0 + 11;
            double first = C1 * Math.sqrt(square);
            double second = C2 * magnitude;
            double bound = UNIT * (first * (d / 2 + 2) + second * (d + 1) + Math.abs(first - second));
            return new Clip(first - second, 1.001 * bound); // the thousandth is for products of roundings
        }
    }

    private static float[] absolute(float[] x) {
        float[] out = new float[x.length]; // [x.length]
        for (int i = 0; i < x.length; i++) {
            out[i] = Math.abs(x[i]);
        }
        return out;
    }

    /** {@return the nearest code, ties to even, in low..high} */
    private static int[] nearest(float[] x, float scale, int low, int high) {
        int[] codes = new int[x.length]; // [x.length]
        for (int i = 0; i < x.length; i++) {
            codes[i] = (int) Math.max(low, Math.min(high, Math.rint(x[i] / scale)));
        }
        return codes;
    }

    @ParameterizedTest
    @CsvSource({"2, 13", "13, 128", "127, 127", "128, 129", "129, 1", "1, 1000"})
    void scaleIsTheClipOverItsDivisor(int rows, int cols) {
        float[] x = Samples.normal(31, rows * cols, 0.7);
        float[] positive = absolute(x);
        for (String mode : new String[] {"strict4", "ref"}) {
            boolean strict = mode.equals("strict4");
            assertGrid(mode, false, Role.WEIGHT, x, rows, cols, strict ? 7 : 8, strict ? -7 : -8, strict ? 7 : 8);
            assertGrid(mode, false, Role.INPUT, x, rows, cols, strict ? 7 : 11.5, strict ? -7 : -8, strict ? 7 : 15);
            assertGrid(mode, true, Role.INPUT, positive, rows, cols, strict ? 15 : 7.5, 0, 15);
        }
    }

    private static void assertGrid(
            String mode,
            boolean nonNegative,
            Role role,
            float[] x,
            int rows,
            int cols,
            double divisor,
            int low,
            int high) {
        Clip clip = Clip.of(x, rows, cols);
        assertTrue(clip.value() > clip.bound() && clip.value() < Samples.amax(x) - clip.bound(), "an ordinary clip");
        try (Layer layer = new Layer(Map.of("intMode", mode), nonNegative)) {
            HostQuantized quantized = layer.quantize(role, x, rows, cols);
            float scale = Layer.scale(quantized);
            double slack = clip.bound() / divisor + UNIT * clip.value() / divisor;
            assertEquals(clip.value() / divisor, scale, slack, mode + " " + role);
            int[] codes = nearest(x, scale, low, high); // [rows, cols]
            assertArrayEquals(codes, Layer.codes(quantized), mode + " " + role);
            assertArrayEquals(
                    codes, Layer.codes(quantized, Contraction.ROWS, 0), "the backward pass has the same codes");
        }
    }

    @Test
    void bothEndsOfEachGridAreReached() {
        float[] x = Samples.normal(33, 129 * 128, 1); // clip is 2.5: a hundredth of the elements is beyond
        for (boolean strict : new boolean[] {true, false}) {
            Map<String, String> options = Map.of("intMode", strict ? "strict4" : "ref");
            try (Layer layer = new Layer(options);
                    Layer positive = new Layer(options, true)) {
                assertRange(layer.quantize(Role.WEIGHT, x, 129, 128), strict ? -7 : -8, strict ? 7 : 8);
                assertRange(layer.quantize(Role.INPUT, x, 129, 128), strict ? -7 : -8, strict ? 7 : 15);
                assertRange(positive.quantize(Role.INPUT, absolute(x), 129, 128), 0, 15);
            }
        }
    }

    private static void assertRange(HostQuantized quantized, int low, int high) {
        int[] codes = Layer.codes(quantized);
        assertEquals(low, Arrays.stream(codes).min().orElseThrow());
        int largest = Arrays.stream(codes).max().orElseThrow();
        assertTrue(largest == high || high == 15, "the released grids end far beyond most tensors: " + largest);
        assertTrue(largest <= high);
    }

    @Test
    void tiesGoToTheEvenCode() {
        // Constant but for its sign: the clip is negative, so 14 is the clip and 2 the scale; then the codes of odd
        // numbers.
        float[] x = {14, -14, 14, -14};
        try (Layer layer = new Layer(Map.of())) {
            assertEquals(2, Layer.scale(layer.quantize(Role.WEIGHT, x, 2, 2)));
        }
        // A quarter of the elements at ±14, the others small: clip beyond amax, so scale 2 again.
        float[] ties = {14, 1, -1, 3, -3, 5, -5, 14, 0.9999999f, 1.0000001f, -0f, 0, 14, -14, 0, 0};
        try (Layer layer = new Layer(Map.of())) {
            HostQuantized quantized = layer.quantize(Role.WEIGHT, ties, 4, 4);
            assertEquals(2, Layer.scale(quantized));
            assertArrayEquals(new int[] {7, 0, 0, 2, -2, 2, -2, 7, 0, 1, 0, 0, 7, -7, 0, 0}, Layer.codes(quantized));
        }
    }

    /** {@return 1024 elements of magnitude 1, of which some have 1 + excess} */
    private static float[] nearlyConstant(int excessive, float excess) {
        float[] x = new float[1024]; // [32, 32]
        for (int i = 0; i < x.length; i++) {
            x[i] = (i % 2 == 0 ? 1 : -1) * (i < excessive ? 1 + excess : 1);
        }
        return x;
    }

    @Test
    void clipThatIsNotPositiveGivesWayToTheLargestElement() {
        // rms / mean is at least 1, and the clip is positive above 12.2 / 12.1 = 1.0083 only.
        float[] below = nearlyConstant(512, 0.25f); // 1.00615
        Clip negative = Clip.of(below, 32, 32);
        assertTrue(negative.value() < -negative.bound());
        float[] above = nearlyConstant(512, 0.5f); // 1.01980
        Clip positive = Clip.of(above, 32, 32);
        assertTrue(positive.value() > positive.bound());
        try (Layer layer = new Layer(Map.of())) {
            assertEquals(1f / 7, Layer.scale(layer.quantize(Role.WEIGHT, nearlyConstant(0, 0), 32, 32)));
            assertEquals(1.25f / 7, Layer.scale(layer.quantize(Role.WEIGHT, below, 32, 32)));
            HostQuantized saturated = layer.quantize(Role.WEIGHT, above, 32, 32);
            assertEquals(positive.value() / 7, Layer.scale(saturated), positive.bound());
            int[] magnitudes = Arrays.stream(Layer.codes(saturated))
                    .map(Math::abs)
                    .distinct()
                    .toArray();
            assertArrayEquals(new int[] {7}, magnitudes, "by the formula all of it saturates: clip is 0.14 there");
        }
    }

    @Test
    void clipIsNeverAboveTheLargestElement() {
        float[] x = new float[1024]; // [32, 32]
        for (int i = 0; i < x.length; i += 4) {
            x[i] = i % 8 == 0 ? 0.3f : -0.3f; // rms = amax/2, mean = amax/4: the formula gives 3 amax
        }
        assertTrue(Clip.of(x, 32, 32).value() > 0.89);
        try (Layer layer = new Layer(Map.of("intMode", "ref"))) {
            assertEquals(0.3f / 8, Layer.scale(layer.quantize(Role.WEIGHT, x, 32, 32)));
            assertEquals(0.3f / 11.5f, Layer.scale(layer.quantize(Role.INPUT, x, 32, 32)));
        }
    }

    @ParameterizedTest
    @ValueSource(floats = {0, -0f, Float.MIN_VALUE, 1e-37f})
    void tensorOfZerosOrNextToItHasScaleOne(float value) {
        float[] x = {value, -value, 0, value, 0, 0};
        for (String mode : new String[] {"strict4", "ref"}) {
            try (Layer layer = new Layer(Map.of("intMode", mode))) {
                HostQuantized input = layer.quantize(Role.INPUT, x, 2, 3);
                assertEquals(1, Layer.scale(input));
                assertArrayEquals(new int[6], Layer.codes(input));
                HostQuantized weight = layer.quantize(Role.WEIGHT, x, 2, 3);
                assertArrayEquals(new float[4], layer.multiply(Product.OUTPUT, input, weight));
            }
        }
    }

    @ParameterizedTest
    @ValueSource(floats = {1e-30f, 1e25f, Float.MAX_VALUE})
    void momentsThatLeaveTheRangeGiveWayToTheLargestElement(float amax) {
        float[] x = {amax, -amax / 3, 0, amax / 2}; // squares vanish or overflow
        try (Layer layer = new Layer(Map.of())) {
            HostQuantized quantized = layer.quantize(Role.WEIGHT, x, 2, 2);
            assertEquals(amax / 7, Layer.scale(quantized));
            assertArrayEquals(new int[] {7, -2, 0, 4}, Layer.codes(quantized)); // 3.5 is a tie
        }
    }

    @ParameterizedTest
    @ValueSource(floats = {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY})
    void whatIsNotFiniteNeverBecomesANumber(float value) {
        for (String mode : new String[] {"strict4", "ref"}) {
            try (Layer layer = new Layer(Map.of("intMode", mode))) {
                HostQuantized input = layer.quantize(Role.INPUT, new float[] {1, value, 2, 3}, 2, 2);
                assertTrue(Float.isNaN(Layer.scale(input)));
                HostQuantized weight = layer.quantize(Role.WEIGHT, new float[] {1, 1, 1, 1}, 2, 2);
                for (float product : layer.multiply(Product.OUTPUT, input, weight)) {
                    assertTrue(Float.isNaN(product), mode + ": " + product);
                }
                layer.scope().close();
                assertEquals(1, layer.backend().takeNonFinite().size());
            }
        }
    }

    @Test
    void outlierIsClipped() {
        float[] x = Samples.normal(37, 1 << 14, 1);
        x[77] = 40;
        try (Layer layer = new Layer(Map.of())) {
            HostQuantized quantized = layer.quantize(Role.INPUT, x, 128, 128);
            assertTrue(7 * Layer.scale(quantized) < 4, "a clip near three deviations: " + 7 * Layer.scale(quantized));
            assertEquals(7, Layer.codes(quantized)[77]);
        }
    }

    /** The squared error of a tensor, and how far 5 standard errors may take it, as a share of itself. */
    private record Misfit(double sum, double share) {
        static Misfit of(float[] x, double scale) {
            double sum = 0;
            double squares = 0;
            for (float v : x) {
                double rest = v - scale * Math.max(0, Math.min(15, Math.rint(v / scale)));
                sum += rest * rest;
                squares += Math.pow(rest, 4);
            }
            return new Misfit(sum, 5 * Math.sqrt(squares) / sum);
        }
    }

    @Test
    void strictGridIsNearTheBestOneAndTheReleasedUnsignedGridIsNot() {
        // 1.35 and 5.4 times the error of the best scale: what 16 levels give for normal numbers after a ReLU.
        float[] x = Samples.normal(39, 1 << 15, 1);
        for (int i = 0; i < x.length; i++) {
            x[i] = Math.max(0, x[i]);
        }
        Misfit best = new Misfit(Double.POSITIVE_INFINITY, 0);
        for (double scale = 0.05; scale < 0.5; scale += 0.002) {
            Misfit found = Misfit.of(x, scale);
            best = found.sum() < best.sum() ? found : best;
        }
        Misfit strict = Misfit.of(x, unsignedScale("strict4", x));
        Misfit released = Misfit.of(x, unsignedScale("ref", x));
        assertEquals(1.35, strict.sum() / best.sum(), 1.35 * (strict.share() + best.share()));
        assertEquals(5.4, released.sum() / best.sum(), 5.4 * (released.share() + best.share()));
        assertTrue(released.share() + best.share() < 0.3, "the tensor is large enough to tell");
    }

    private static float unsignedScale(String mode, float[] x) {
        try (Layer layer = new Layer(Map.of("intMode", mode), true)) {
            return Layer.scale(layer.quantize(Role.INPUT, x, 128, x.length / 128));
        }
    }
}
