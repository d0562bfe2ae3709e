package dev.nibble.quant.luq;

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/**
 * The mean of dW over many draws is dW of the quantized forward pass with dY as it is, in every layer of a network: what a
 * layer passes down is unbiased, and the next one builds on it.
 */
class NetworkGradientTests {
    private static final int TOKENS = 24;
    private static final int[] WIDTHS = {13, 20, 16, 9, 5};
    private static final int DRAWS = 10_000; // of some 2500 elements each: seconds

    private static Net net(Map<String, String> options) {
        List<float[]> weights = new ArrayList<>();
        for (int i = 0; i + 1 < WIDTHS.length; i++) {
            weights.add(Samples.normal(200 + i, WIDTHS[i + 1] * WIDTHS[i], Math.sqrt(2.0 / WIDTHS[i])));
        }
        return new Net(options, Samples.normal(199, TOKENS * WIDTHS[0], 1), TOKENS, WIDTHS, weights);
    }

    /** Distances of dW of one layer from the exact one: their mean over the draws, and its standard error; [out, in] each. */
    private record Distances(double[] mean, double[] standardError, double[] slack) {
        /** {@return the largest mean, beyond what FP32 explains, in standard errors of these or other draws} */
        double largestZ(Distances errors) {
            double largest = 0;
            for (int i = 0; i < mean.length; i++) {
                double beyond = Math.abs(mean[i]) - slack[i];
                largest = beyond <= 0 ? largest : Math.max(largest, beyond / errors.standardError[i]);
            }
            return largest;
        }

        double largestZ() {
            return largestZ(this);
        }
    }

    private static List<Distances> distances(Map<String, String> options, int draws) {
        List<Distances> all = new ArrayList<>();
        try (Net net = net(options)) {
            List<Net.Exact> exact = net.exactGradients();
            double[][] sum = new double[exact.size()][]; // [layers][out · in]
            double[][] squares = new double[exact.size()][]; // [layers][out · in]
            for (int layer = 0; layer < exact.size(); layer++) {
                sum[layer] = new double[exact.get(layer).gradient().length];
                squares[layer] = new double[sum[layer].length];
            }
            for (int draw = 0; draw < draws; draw++) {
                List<float[]> gradients = net.gradients(draw);
                for (int layer = 0; layer < exact.size(); layer++) {
                    for (int i = 0; i < sum[layer].length; i++) {
                        double distance =
                                gradients.get(layer)[i] - exact.get(layer).gradient()[i];
                        sum[layer][i] += distance;
                        squares[layer][i] += distance * distance;
                    }
                }
            }
            for (int layer = 0; layer < exact.size(); layer++) {
                double[] errors = new double[sum[layer].length]; // [out, in]
                for (int i = 0; i < errors.length; i++) {
                    sum[layer][i] /= draws;
                    double variance = squares[layer][i] / draws - sum[layer][i] * sum[layer][i];
                    errors[i] = Math.sqrt(Math.max(0, variance) / draws);
                }
                all.add(new Distances(sum[layer], errors, exact.get(layer).slack()));
            }
        }
        return all;
    }

    private static void assertUnbiased(List<Distances> layers, String what) {
        for (int layer = 0; layer < layers.size(); layer++) {
            double z = layers.get(layer).largestZ();
            assertTrue(z < 5, what + ", layer " + layer + ": " + z + " standard errors");
            double spread = 0;
            for (double error : layers.get(layer).standardError()) {
                spread += error > 0 ? 1 : 0;
            }
            assertTrue(spread > layers.get(layer).mean().length / 4.0, what + ", layer " + layer + ": draws differ");
        }
    }

    @Test
    void otherUnbiasedSettingsPassToo() {
        for (Map<String, String> options : List.of(
                Map.of("gradQuant", "int4-sr"),
                Map.of("samplesGradWeight", "2", "samplesGradInput", "2", "powerOfTwo", "true", "intMode", "ref"),
                Map.of("exponent", "8", "samplesGradWeight", "3"))) {
            assertUnbiased(distances(options, DRAWS / 10), options.toString());
        }
    }

    @Test
    void meanGradientIsThatOfTheForwardPassInEveryLayerAndBiasedRoundingFailsInEveryLayer() {
        List<Distances> luq = distances(Map.of(), DRAWS);
        assertUnbiased(luq, "luq");
        List<Distances> nearest = distances(Map.of("gradQuant", "rdnp"), 1); // all draws are equal
        List<Distances> flushed = distances(Map.of("gradQuant", "fp4-flush"), 1);
        List<Distances> logarithmic = distances(Map.of("gradQuant", "log-sr"), DRAWS / 10);
        for (int layer = 0; layer < luq.size(); layer++) {
            assertTrue(nearest.get(layer).largestZ(luq.get(layer)) > 5, "rdnp, layer " + layer);
            assertTrue(flushed.get(layer).largestZ(luq.get(layer)) > 5, "fp4-flush, layer " + layer);
            assertTrue(logarithmic.get(layer).largestZ() > 5, "log-sr, layer " + layer);
        }
    }
}
