package dev.nibble.quant.int4;

import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.spi.OptionValues;
import dev.nibble.testkit.data.Matrix;
import dev.nibble.testkit.run.FrozenNet;
import dev.nibble.testkit.run.GradientBias;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The gradients of a network against those of its quantized forward pass, which codes and masks give in FP64. */
class GradientTests {
    private static final int TOKENS = 40;
    private static final int[] WIDTHS = {32, 48, 32, 13}; // blocks of 32, 16 and 32

    /**
     * Multiplier and its product, product of the scales, weight of a row, a fused sum of two digits, and six for the transform; with
     * sampling that sum has up to 32 parts.
     */
    private static int roundings(Map<String, String> options) {
        return options.getOrDefault("sampling", "lss").equals("lss") ? 42 : 12;
    }

    private static List<GradientBias> biases(Map<String, String> options, int draws) {
        List<Matrix> weights = new ArrayList<>();
        for (int i = 0; i + 1 < WIDTHS.length; i++) {
            weights.add(Matrix.normal(10 + i, WIDTHS[i + 1], WIDTHS[i], Math.sqrt(2.0 / WIDTHS[i])));
        }
        Int4Provider provider = new Int4Provider();
        try (FrozenNet net = new FrozenNet(
                Layer.backend(),
                provider.create(OptionValues.of(provider.name(), provider.options(), options)),
                Matrix.normal(1, TOKENS, WIDTHS[0], 1),
                weights)) {
            assertTrue(net.gradientsReadTheForwardPass());
            return net.biases(draws, roundings(options));
        }
    }

    private static void assertUnbiased(Map<String, String> options, int draws, double resolution) {
        List<GradientBias> biases = biases(options, draws);
        for (int i = 0; i < biases.size(); i++) {
            GradientBias bias = biases.get(i);
            assertTrue(bias.largest() < 5, "layer " + i + ": an element is off by " + bias.largest());
            assertTrue(bias.alongExact() < 5, "layer " + i + ": its length is off by " + bias.alongExact());
            assertTrue(
                    bias.resolution() < resolution,
                    "layer " + i + ": a bias of " + 5 * bias.resolution() + " would pass");
        }
    }

    private static void assertBiased(Map<String, String> options, int draws) {
        List<GradientBias> biases = biases(options, draws);
        for (int i = 0; i < biases.size(); i++) {
            double off = Math.max(biases.get(i).largest(), biases.get(i).alongExact());
            assertTrue(off > 5, "layer " + i + " is off by only " + off);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"lss", "z", "none"})
    void meanIsTheGradientOfTheQuantizedForwardPassInEveryLayer(String sampling) {
        assertUnbiased(Map.of("sampling", sampling), 400, 0.01);
    }

    @ParameterizedTest
    @ValueSource(strings = {"lss", "none"})
    void releasedSplitIsBiasedInEveryLayer(String sampling) {
        assertBiased(Map.of("split", "r", "sampling", sampling), 400);
    }

    @Test
    @Tag("slow")
    void meanOfTenThousandDrawsIsTheGradientOfTheQuantizedForwardPassInEveryLayer() {
        assertUnbiased(Map.of(), 10_000, 0.0025);
    }

    @Test
    @Tag("slow")
    void meanOfTenThousandReleasedDrawsIsBiasedInEveryLayer() {
        assertBiased(Map.of("split", "r"), 10_000);
    }
}
