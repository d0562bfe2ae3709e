package dev.nibble.quant.int8.fallback;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.reference.ReferenceBackendProvider;
import dev.nibble.spi.BackendOptions;
import dev.nibble.spi.LinearPlan;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.OptionValues;
import dev.nibble.spi.PlanRequest;
import dev.nibble.spi.Plugins;
import dev.nibble.spi.Quantizer;
import dev.nibble.spi.QuantizerProvider;
import dev.nibble.state.StateVector;
import dev.nibble.tensor.Role;
import dev.nibble.testkit.data.Matrix;
import dev.nibble.testkit.run.FrozenNet;
import dev.nibble.testkit.run.GradientBias;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** The mean of dW over many draws is dW of the codes of X and W with dY as it is, in every layer of a network. */
class NetworkGradientTests {
    private static final int TOKENS = 24;
    private static final int[] WIDTHS = {13, 20, 24, 9}; // with blocks of 16, several in most tensors
    private static final int DRAWS = 10_000; // of some 1300 elements each: seconds

    /** Multiplier and its product, product of the scales, and a fused sum of two planes in two blocks. */
    private static final int ROUNDINGS = 7;

    private static Quantizer quantizer(String name, Map<String, String> options) {
        QuantizerProvider provider = Plugins.quantizers().get(name);
        return provider.create(OptionValues.of(name, provider.options(), options));
    }

    /** A quantizer that rounds dY to nearest. */
    private record Nearest(LinearQuantizer stochastic) implements LinearQuantizer {
        @Override
        public LinearPlan plan(PlanRequest request) {
            LinearPlan plan = stochastic.plan(request);
            PlaneSpec plane = plan.gradOutput().operands().getFirst().planes().getFirst();
            assertEquals(Rounding.STOCHASTIC, plane.rounding());
            PlaneSpec nearest =
                    PlaneSpec.value(plane.format(), plane.granularity(), plane.scaleRule(), Rounding.NEAREST_EVEN);
            return new LinearPlan(
                    plan.input(),
                    plan.weight(),
                    QuantizeSpec.both(Role.GRAD_OUTPUT, List.of(nearest)),
                    plan.output(),
                    plan.gradInput(),
                    plan.gradWeight(),
                    plan.afterForward(),
                    plan.afterOptimizer());
        }

        @Override
        public List<StateVector> state() {
            return stochastic.state();
        }
    }

    private static FrozenNet net(Quantizer quantizer) {
        List<Matrix> weights = new ArrayList<>();
        for (int i = 0; i + 1 < WIDTHS.length; i++) {
            weights.add(Matrix.normal(300 + i, WIDTHS[i + 1], WIDTHS[i], Math.sqrt(2.0 / WIDTHS[i])));
        }
        return new FrozenNet(
                new ReferenceBackendProvider().open(BackendOptions.withSeed(11)),
                quantizer,
                Matrix.normal(299, TOKENS, WIDTHS[0], 1),
                weights);
    }

    private static void assertUnbiasedAndNearestNot(Quantizer quantizer, boolean readsTheForwardPass) {
        List<GradientBias> stochastic;
        try (FrozenNet net = net(quantizer)) {
            assertEquals(readsTheForwardPass, net.gradientsReadTheForwardPass());
            stochastic = net.biases(DRAWS, ROUNDINGS);
        }
        List<GradientBias> nearest;
        try (FrozenNet net = net(layer -> new Nearest(quantizer.linear(layer)))) {
            nearest = net.biases(1, ROUNDINGS); // all draws are equal
        }
        for (int layer = 0; layer < stochastic.size(); layer++) {
            GradientBias bias = stochastic.get(layer);
            assertTrue(bias.largest() < 5, "layer " + layer + ": an element is off by " + bias.largest());
            assertTrue(bias.alongExact() < 5, "layer " + layer + ": its length is off by " + bias.alongExact());
            assertTrue(bias.moving() > 0.9, "layer " + layer + ": draws differ");
            double biased = nearest.get(layer).largest(bias);
            assertTrue(biased > 5, "layer " + layer + ": rounding to nearest is off by only " + biased);
        }
    }

    /** X and W have other codes for the gradients, one scale a column: to nearest, so that each draw reads the same. */
    @Test
    void meanGradientOfRowsIsThatOfTheCodesMadeForIt() {
        assertUnbiasedAndNearestNot(quantizer("int8-row", Map.of()), false);
    }

    @Test
    void meanGradientOfBlocksIsThatOfTheForwardPass() {
        assertUnbiasedAndNearestNot(quantizer("int8-block", Map.of("block", "16")), true);
    }

    @Test
    void meanGradientOfFallbackWithTheResidualIsThatOfTheForwardPass() {
        assertUnbiasedAndNearestNot(
                quantizer("int8-fallback", Map.of("block", "16", "residualInGradWeight", "true")), true);
    }

    @Test
    void meanGradientOfFallbackWithoutTheResidualIsThatOfTheFirstPlane() {
        assertUnbiasedAndNearestNot(quantizer("int8-fallback", Map.of("block", "16")), false);
    }
}
