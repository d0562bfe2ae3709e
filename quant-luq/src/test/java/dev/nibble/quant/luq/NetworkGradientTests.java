package dev.nibble.quant.luq;

import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.reference.ReferenceBackendProvider;
import dev.nibble.spi.BackendOptions;
import dev.nibble.spi.OptionValues;
import dev.nibble.testkit.data.Matrix;
import dev.nibble.testkit.run.FrozenNet;
import dev.nibble.testkit.run.GradientBias;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** The mean of dW over many draws is dW of the quantized forward pass with dY as it is, in every layer of a network. */
class NetworkGradientTests {
    private static final int TOKENS = 24;
    private static final int[] WIDTHS = {13, 20, 16, 9, 5};
    private static final int DRAWS = 10_000; // of some 2500 elements each: seconds

    /** Quotient with alpha, product of the scales, that with the integer sum, and a fused sum of up to three samples. */
    private static final int ROUNDINGS = 6;

    private static List<GradientBias> biases(Map<String, String> options, int draws) {
        List<Matrix> weights = new ArrayList<>();
        for (int i = 0; i + 1 < WIDTHS.length; i++) {
            weights.add(Matrix.normal(200 + i, WIDTHS[i + 1], WIDTHS[i], Math.sqrt(2.0 / WIDTHS[i])));
        }
        LuqProvider provider = new LuqProvider();
        try (FrozenNet net = new FrozenNet(
                new ReferenceBackendProvider().open(BackendOptions.withSeed(7)),
                provider.create(OptionValues.of(provider.name(), provider.options(), options)),
                Matrix.normal(199, TOKENS, WIDTHS[0], 1),
                weights)) {
            assertTrue(net.gradientsReadTheForwardPass());
            return net.biases(draws, ROUNDINGS);
        }
    }

    private static void assertUnbiased(List<GradientBias> layers, String what) {
        for (int layer = 0; layer < layers.size(); layer++) {
            String where = what + ", layer " + layer;
            GradientBias bias = layers.get(layer);
            assertTrue(bias.largest() < 5, where + ": an element is off by " + bias.largest() + " standard errors");
            assertTrue(bias.alongExact() < 5, where + ": the length is off by " + bias.alongExact());
            assertTrue(bias.moving() > 0.25, where + ": draws differ");
        }
    }

    @Test
    void otherUnbiasedSettingsPassToo() {
        for (Map<String, String> options : List.of(
                Map.of("gradQuant", "int4-sr"),
                Map.of("samplesGradWeight", "2", "samplesGradInput", "2", "powerOfTwo", "true", "intMode", "ref"),
                Map.of("exponent", "8", "samplesGradWeight", "3"))) {
            assertUnbiased(biases(options, DRAWS / 10), options.toString());
        }
    }

    @Test
    void meanGradientIsThatOfTheForwardPassInEveryLayerAndBiasedRoundingFailsInEveryLayer() {
        List<GradientBias> luq = biases(Map.of(), DRAWS);
        assertUnbiased(luq, "luq");
        List<GradientBias> nearest = biases(Map.of("gradQuant", "rdnp"), 1); // all draws are equal
        List<GradientBias> flushed = biases(Map.of("gradQuant", "fp4-flush"), 1);
        List<GradientBias> logarithmic = biases(Map.of("gradQuant", "log-sr"), DRAWS / 10);
        for (int layer = 0; layer < luq.size(); layer++) {
            assertTrue(nearest.get(layer).largest(luq.get(layer)) > 5, "rdnp, layer " + layer);
            assertTrue(flushed.get(layer).largest(luq.get(layer)) > 5, "fp4-flush, layer " + layer);
            assertTrue(logarithmic.get(layer).largest() > 5, "log-sr, layer " + layer);
        }
    }
}
