package dev.nibble.quant.luq;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.host.HostQuantized;
import dev.nibble.quant.Contraction;
import dev.nibble.quant.Statistic;
import dev.nibble.spi.PlanRequest;
import dev.nibble.spi.StepContext;
import java.util.Arrays;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class HindsightTests {
    /** {@return dY [2, 4] with this maximum, and seven elements of an eighth of it} */
    private static float[] gradient(float amax) {
        float[] x = new float[8]; // [2, 4]
        Arrays.fill(x, amax / 8);
        x[5] = -amax;
        return x;
    }

    /** Runs a step with one micro-batch, and returns dY's quantization, still readable. */
    private static HostQuantized step(Layer layer, int step, float amax, boolean skipped) {
        layer.begin(step);
        HostQuantized quantized = layer.gradient(gradient(amax), 2, 4);
        layer.afterBackward(quantized);
        layer.afterOptimizer(skipped);
        return quantized;
    }

    private static Layer layer(String eta) {
        return new Layer(Map.of("hindsight", eta));
    }

    @Test
    void maximumBlendsTheOldEstimateWithTheLastMaximum() {
        // eta = 0.75: 8, then 0.25·16 + 0.75·8 = 10, 0.25·2 + 7.5 = 8, 0.25·64 + 6 = 22; exact in FP32.
        float[] seen = {8, 16, 2, 64};
        float[] maximum = {8, 10, 8, 22};
        float[] used = {8, 8, 10, 8}; // the first step has no estimate and takes its own
        try (Layer layer = layer("0.75")) {
            for (int i = 0; i < seen.length; i++) {
                HostQuantized quantized = step(layer, i, seen[i], false);
                assertEquals(used[i] / 64, Layer.scale(quantized), "scale of step " + i);
                assertEquals(maximum[i], layer.state("maximum"), "maximum after step " + i);
                assertEquals(maximum[i] / 64, layer.state("scale"), "scale after step " + i);
            }
        }
    }

    @ParameterizedTest
    @ValueSource(floats = {0, 0.5f, 0.9f, 0.99f})
    void longTraceFollowsTheFormulaInSinglePrecision(float eta) {
        float[] seen = Samples.logNormal(51, 50, 1);
        float maximum = 0;
        try (Layer layer = layer(String.valueOf(eta))) {
            for (int i = 0; i < seen.length; i++) {
                float amax = Math.abs(seen[i]);
                step(layer, i, amax, false);
                maximum = i == 0 ? amax : (1 - eta) * amax + eta * maximum;
                assertEquals(maximum, layer.state("maximum"), "step " + i);
            }
        }
    }

    @Test
    void elementsBeyondTheMaximumSaturateAndAreCounted() {
        try (Layer layer = layer("0.5")) {
            step(layer, 0, 4, false);
            assertEquals(0, layer.state("saturated"), "the first step takes its own maximum");
            HostQuantized beyond = step(layer, 1, 8, false); // one of eight elements is 8, the maximum 4
            assertEquals(0.125f, Layer.statistic(beyond, Statistic.SATURATED));
            assertEquals(0.125f, layer.state("saturated"));
            float[] values = layer.dequantize(beyond.operand(Contraction.COLUMNS)); // [2, 4]
            assertEquals(-4, values[5], "the top code: the largest that the maximum allows");
            HostQuantized within = step(layer, 2, 6, false); // the maximum is 6 now
            assertEquals(6f / 64, Layer.scale(within));
            assertEquals(0, Layer.statistic(within, Statistic.SATURATED), "the maximum itself is no saturation");
            assertEquals(0, layer.state("saturated"));
        }
    }

    @Test
    void saturationBiasesOnlyWhatIsBeyond() {
        int draws = 4000;
        float[] x = {1, 0.3f, -0.7f, 0.01f, 1.5f, -3}; // the maximum is 1
        double[] means = new double[x.length]; // [6]
        try (Layer layer = layer("0.5")) {
            layer.afterBackward(layer.gradient(new float[] {1}, 1, 1));
            layer.afterOptimizer(false);
            for (int draw = 1; draw <= draws; draw++) {
                layer.begin(draw);
                float[] values = layer.dequantize(layer.gradient(x, 2, 3).operand(Contraction.COLUMNS)); // [2, 3]
                for (int i = 0; i < x.length; i++) {
                    means[i] += values[i] / (double) draws;
                }
            }
        }
        for (int i = 0; i < 4; i++) {
            double standardError = Math.sqrt(Samples.variance(Math.abs(x[i]) * 64) / draws) / 64;
            assertEquals(x[i], means[i], 5 * standardError + 0x1p-24, "element " + i);
        }
        assertArrayEquals(new double[] {1, -1}, Arrays.copyOfRange(means, 4, 6), 1e-9);
    }

    @Test
    void maximumIsTheLargestOfTheMicroBatchesAndSaturationTheirMean() {
        try (Layer layer = layer("0.5")) {
            step(layer, 0, 4, false);
            float[] amaxes = {2, 16, 4, 8};
            for (int microBatch = 0; microBatch < amaxes.length; microBatch++) {
                layer.begin(new StepContext(1, microBatch, StepContext.Mode.TRAIN, 0));
                HostQuantized quantized = layer.gradient(gradient(amaxes[microBatch]), 2, 4);
                assertEquals(4f / 64, Layer.scale(quantized), "no micro-batch changes the scale of the next");
                layer.afterBackward(quantized);
            }
            layer.afterOptimizer(false);
            assertEquals(10, layer.state("maximum")); // 0.5·16 + 0.5·4
            assertEquals(0.0625f, layer.state("saturated")); // one of eight elements in two of four
            for (String gathered : new String[] {"largest", "saturatedSum", "passes"}) {
                assertEquals(0, layer.state(gathered), gathered);
            }
        }
    }

    @Test
    void skippedStepKeepsTheEstimateAndForgetsWhatItSaw() {
        try (Layer layer = layer("0.5")) {
            step(layer, 0, 4, true);
            assertEquals(0, layer.state("maximum"), "still without an estimate");
            assertEquals(0, layer.state("scale"));
            step(layer, 1, 8, false);
            assertEquals(8, layer.state("maximum"), "taken over as it is");
            step(layer, 2, 16, false); // saturates
            step(layer, 3, 1024, true);
            assertEquals(12, layer.state("maximum"));
            assertEquals(12f / 64, layer.state("scale"));
            assertEquals(0.125f, layer.state("saturated"));
            step(layer, 4, 12, false);
            assertEquals(12, layer.state("maximum"), "what the skipped step saw is gone");
        }
    }

    @ParameterizedTest
    @ValueSource(floats = {Float.NaN, Float.POSITIVE_INFINITY})
    void stepThatIsNotFiniteLeavesNoTrace(float value) {
        try (Layer layer = layer("0.9")) {
            step(layer, 0, 4, false);
            HostQuantized bad = step(layer, 1, value, true);
            assertTrue(Float.isNaN(Layer.scale(bad)));
            assertEquals(4, layer.state("maximum"));
            assertEquals(0, layer.state("largest"));
            assertEquals(4f / 64, Layer.scale(step(layer, 2, 4, false)));
        }
    }

    @ParameterizedTest
    @CsvSource({"0", "1e-40", "1e-31"})
    void maximumThatVanishesGivesWayToTheTensorsOwn(float tiny) {
        try (Layer layer = layer("0")) { // eta 0: the last maximum alone
            step(layer, 0, 4, false);
            HostQuantized zero = step(layer, 1, tiny, false);
            assertEquals(4f / 64, Layer.scale(zero));
            assertArrayEquals(new int[8], Layer.codes(zero), "all far below one");
            assertEquals(0, layer.state("scale"));
            HostQuantized own = step(layer, 2, 3, false);
            assertEquals(3f / 64, Layer.scale(own));
            assertEquals(0, Layer.statistic(own, Statistic.SATURATED));
            assertEquals(3, layer.state("maximum"));
        }
    }

    @ParameterizedTest
    @CsvSource({"4, 16", "6, 64", "7, 128", "8, 256"})
    void scaleIsTheMaximumOverTheTopCode(String exponent, float top) {
        for (boolean powerOfTwo : new boolean[] {true, false}) {
            Map<String, String> options =
                    Map.of("hindsight", "0.5", "exponent", exponent, "powerOfTwo", String.valueOf(powerOfTwo));
            try (Layer layer = new Layer(options)) {
                assertEquals((powerOfTwo ? 4 : 3) / top, Layer.scale(step(layer, 0, 3, false)));
                assertEquals(3, layer.state("maximum"));
                assertEquals((powerOfTwo ? 4 : 3) / top, layer.state("scale"), "rounded up: 3 must not be clipped");
                assertEquals((powerOfTwo ? 4 : 3) / top, Layer.scale(step(layer, 1, 5, false)));
                assertEquals(4, layer.state("maximum"), "the blend is of maxima, not of scales");
                assertEquals(4 / top, layer.state("scale"), "a power of two stays");
            }
        }
    }

    @Test
    void fineTuningChangesNothing() {
        try (Layer layer = layer("0.9")) {
            step(layer, 0, 4, false);
            layer.begin(new StepContext(1, 0, StepContext.Mode.TRAIN, 0, PlanRequest.Phase.FINE_TUNE));
            HostQuantized gradient = layer.gradient(gradient(1024), 2, 4);
            layer.afterBackward(gradient);
            layer.afterOptimizer(false);
            assertEquals(4, layer.state("maximum"));
            assertEquals(0, layer.state("largest"));
            assertArrayEquals(gradient(1024), layer.dequantize(gradient.operand(Contraction.COLUMNS)));
        }
    }

    @Test
    void heavyTailsSaturateRarely() {
        // Independent log-normal tensors, deviation 1.5, 20000 elements: with eta = 0.9 some 2·10^-5 of the elements
        // are beyond.
        int steps = 60;
        double share = 0;
        double squares = 0;
        try (Layer layer = layer("0.9")) {
            for (int step = 0; step < steps; step++) {
                layer.begin(step);
                HostQuantized quantized = layer.gradient(Samples.logNormal(100 + step, 20_000, 1.5), 100, 200);
                layer.afterBackward(quantized);
                layer.afterOptimizer(false);
                share += layer.state("saturated") / (double) steps;
                squares += Math.pow(layer.state("saturated"), 2) / steps;
            }
        }
        double standardError = Math.sqrt((squares - share * share) / (steps - 1));
        assertEquals(2.4e-5, share, 5 * standardError);
        assertTrue(share > 0 && standardError < 2e-5, "it does happen, and rarely: " + share + " ± " + standardError);
    }
}
