package dev.nibble.quant.int8.fallback;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.quant.Criterion;
import dev.nibble.quant.Granularity;
import dev.nibble.quant.Statistic;
import dev.nibble.reference.BlockMetric;
import dev.nibble.reference.ReferenceStateProgram;
import dev.nibble.spi.Control;
import dev.nibble.state.StateInput;
import dev.nibble.state.StateVector;
import java.util.Arrays;
import java.util.Map;
import java.util.Optional;
import java.util.SplittableRandom;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class ThresholdControllerTests {
    private static final int BLOCKS = 7168; // of an input of 8192 x 14336
    private static final int SETTLED = 60; // steps

    /** The state of one layer, moved by the programs alone. */
    private static final class Layer {
        private final FallbackSettings settings;
        private final Map<String, float[]> state = new TreeMap<>();

        Layer(boolean flipDamping) {
            settings = new FallbackSettings(
                    new Granularity.PerBlock(128, 128),
                    Criterion.ABSMAX,
                    FallbackSettings.ThresholdMode.DELAYED,
                    false,
                    false,
                    Optional.empty(),
                    0.1f,
                    0.3f,
                    1.3f,
                    flipDamping);
            for (StateVector vector : ThresholdController.state(settings)) {
                state.put(vector.name(), new float[] {vector.initial().getFirst()});
            }
        }

        float get(String name) {
            return state.get(name)[0];
        }

        void forward(float threshold, float rate) {
            float[] statistics = new float[Statistic.count()]; // [Statistic.count()]
            statistics[Statistic.THRESHOLD.ordinal()] = threshold;
            statistics[Statistic.FALLBACK_RATE.ordinal()] = rate;
            ReferenceStateProgram.run(
                    ThresholdController.afterForward(), state, Map.of(StateInput.INPUT_STATISTICS, statistics));
        }

        void optimizer(boolean skipped) {
            float[] control = new float[Control.count()]; // [Control.count()]
            control[Control.SKIPPED.ordinal()] = skipped ? 1 : 0;
            ReferenceStateProgram.run(
                    ThresholdController.afterOptimizer(settings), state, Map.of(StateInput.CONTROL, control));
        }

        /** A whole step with the layer's own threshold. */
        void step(float rate) {
            forward(get("threshold"), rate);
            optimizer(false);
        }

        /** A step over blocks with these metrics; gives the rate of its forward pass. */
        double step(float[] metrics) {
            return step(metrics, get("threshold"));
        }

        /** A step with a threshold that at most 30 % of the blocks, ascending, lie above. */
        double cappedStep(float[] metrics) {
            return step(metrics, Math.max(get("threshold"), BlockMetric.quantile(metrics, 1 - (double) 0.3f)));
        }

        private double step(float[] metrics, float threshold) {
            int flagged = 0;
            for (float metric : metrics) {
                flagged += metric > threshold ? 1 : 0;
            }
            float rate = (float) flagged / metrics.length;
            forward(threshold, rate);
            optimizer(false);
            return rate;
        }
    }

    private static Layer layer(float threshold) {
        Layer layer = new Layer(true);
        layer.state.put("threshold", new float[] {threshold});
        return layer;
    }

    private static boolean inWindow(double rate) {
        return rate >= 0.1f && rate <= 0.3f;
    }

    @Test
    void rateAboveTheWindowRaisesTheThreshold() {
        Layer layer = layer(2);
        layer.step(0.5f);
        assertEquals(2 * 1.3f, layer.get("threshold"));
        assertEquals(0.5f, layer.get("rate"));
        layer.step(0.31f);
        assertEquals(2 * 1.3f * 1.3f, layer.get("threshold"));
        assertEquals(1.3f, layer.get("alpha"));
        assertEquals(0, layer.get("flips"));
    }

    @Test
    void rateBelowTheWindowLowersTheThreshold() {
        Layer layer = layer(2);
        layer.step(0f);
        assertEquals(2 / 1.3f, layer.get("threshold"));
        layer.step(0.09f);
        assertEquals(2 / 1.3f / 1.3f, layer.get("threshold"));
        assertEquals(1.3f, layer.get("alpha"));
    }

    @ParameterizedTest
    @ValueSource(floats = {0.1f, 0.2f, 0.3f})
    void rateInsideTheWindowKeepsTheThreshold(float rate) {
        Layer layer = layer(2);
        layer.step(rate);
        assertEquals(2, layer.get("threshold"));
        assertEquals(rate, layer.get("rate"));
        assertEquals(0, layer.get("direction"));
    }

    @Test
    void flipHalvesTheLogarithmOfAlphaBeforeTheMove() {
        Layer layer = layer(2);
        layer.step(0.5f);
        layer.step(0.05f);
        float root = (float) Math.sqrt(1.3f);
        assertEquals(root, layer.get("alpha"));
        assertEquals(2 * 1.3f / root, layer.get("threshold"));
        assertEquals(1, layer.get("flips"));
        layer.step(0.05f);
        assertEquals(root, layer.get("alpha"), "the same direction again is no flip");
        assertEquals(2 * 1.3f / root / root, layer.get("threshold"));
    }

    @Test
    void flipIsSeenAcrossStepsInsideTheWindow() {
        Layer layer = layer(2);
        layer.step(0.5f);
        layer.step(0.2f);
        layer.step(0.2f);
        assertEquals(1, layer.get("direction"));
        layer.step(0.05f);
        assertEquals((float) Math.sqrt(1.3f), layer.get("alpha"));
        assertEquals(1, layer.get("flips"));
        assertEquals(-1, layer.get("direction"));
    }

    @Test
    void thirdMoveInARowSquaresAlphaUpToItsFirstValue() {
        Layer layer = layer(2);
        layer.step(0.5f);
        layer.step(0.05f);
        layer.step(0.5f);
        float fourthRoot = (float) Math.sqrt((float) Math.sqrt(1.3f));
        assertEquals(fourthRoot, layer.get("alpha"), "two flips");
        layer.step(0.5f);
        assertEquals(fourthRoot, layer.get("alpha"), "the second move in a row may still return across an overshoot");
        layer.step(0.5f);
        assertEquals(fourthRoot * fourthRoot, layer.get("alpha"));
        layer.step(0.2f);
        layer.step(0.5f);
        layer.step(0.5f);
        assertEquals(fourthRoot * fourthRoot, layer.get("alpha"), "a step inside the window ends the row");
        layer.step(0.5f);
        layer.step(0.5f);
        assertEquals(1.3f, layer.get("alpha"));
    }

    @Test
    void settledThresholdCatchesUpWithActivationsThatGrow() {
        // alpha at its floor, e^0.0041, would fall behind activations that grow by 5 %, e^0.049, a step. It is
        // squared from the third move on, and passes the drift after 4 squarings; by then threshold and activations
        // are 0.25 apart, 0.8 sigma, which it makes good within a few moves.
        float[] metrics = logNormal(0.3);
        Layer layer = layer(1);
        for (int step = 0; step < 20; step++) {
            layer.step(step % 2 == 0 ? 1f : 0f);
        }
        layer.state.put("threshold", new float[] {right(metrics)});
        int outside = 0;
        int steps = 100;
        for (int step = 0; step < steps; step++) {
            for (int i = 0; i < metrics.length; i++) {
                metrics[i] *= 1.05f;
            }
            outside += layer.step(metrics) > 0.6 ? 1 : 0;
        }
        assertTrue(outside <= 10, outside + " of " + steps + " steps with more than 60 % of the blocks");
    }

    @Test
    void alphaStopsAtThe64thRootOfItsFirstValue() {
        Layer layer = layer(2);
        for (int i = 0; i < 20; i++) {
            layer.step(i % 2 == 0 ? 1f : 0f);
        }
        assertEquals(19, layer.get("flips"));
        double root = Math.exp(Math.log(1.3) / 64);
        assertEquals(root, layer.get("alpha"), 0x1p-23, "one ulp: the root is rounded once, 1.3 to FP32 before it");
    }

    @Test
    void withoutFlipDampingAlphaStays() {
        Layer layer = new Layer(false);
        layer.state.put("threshold", new float[] {2});
        layer.step(1f);
        layer.step(0f);
        assertEquals(1.3f, layer.get("alpha"));
        assertEquals(1, layer.get("flips"), "flips are counted all the same");
        assertEquals(2 * 1.3f / 1.3f, layer.get("threshold"));
    }

    @Test
    void skippedStepKeepsAllAndForgetsItsPasses() {
        Layer layer = layer(2);
        layer.step(0.5f);
        Map<String, Float> before = new TreeMap<>();
        for (String name : new String[] {"threshold", "alpha", "flips", "rate", "direction"}) {
            before.put(name, layer.get(name));
        }
        layer.forward(Float.NaN, 0f);
        layer.forward(7, 0f);
        layer.optimizer(true);
        before.forEach((name, value) -> assertEquals(value, layer.get(name), name));
        assertEquals(0, layer.get("rateSum"));
        assertEquals(0, layer.get("passes"));
        layer.step(0.2f);
        assertEquals(0.2f, layer.get("rate"), "the skipped step's rates are not part of the mean");
        assertEquals(2 * 1.3f, layer.get("threshold"));
    }

    @Test
    void meanOfTheMicroBatchesDecides() {
        Layer layer = layer(2);
        layer.forward(2, 0f); // alone: too few
        layer.forward(2, 0.5f); // alone: too many
        assertEquals(2, layer.get("passes"));
        layer.optimizer(false);
        assertEquals(0.25f, layer.get("rate"));
        assertEquals(2, layer.get("threshold"));
        layer.forward(2, 0.25f);
        layer.forward(2, 0.5f);
        layer.optimizer(false);
        assertEquals(0.375f, layer.get("rate"));
        assertEquals(2 * 1.3f, layer.get("threshold"));
        assertEquals(0, layer.get("passes"));
    }

    @Test
    void thresholdThatThePassUsedIsTheOneThatMoves() {
        Layer layer = new Layer(true);
        assertEquals(Float.POSITIVE_INFINITY, layer.get("threshold"));
        layer.forward(5, 0.2f); // the exact quantile of a first step
        layer.optimizer(false);
        assertEquals(5, layer.get("threshold"));
    }

    @Test
    void thresholdOfZeroCanRiseAgain() {
        // The quantile of a first input that is zero in most blocks is 0, which no factor would ever move.
        Layer layer = new Layer(true);
        layer.forward(0, 0f);
        layer.optimizer(false);
        int steps = 0;
        while (layer.step(new float[] {1, 1, 1, 1, 2}) > 0.3f && steps < 1000) {
            steps++;
        }
        // from 2^-119, below which no block falls back, to 1: 119 · ln 2 / ln 1.3 = 314.4 steps, at alpha's first
        // value;
        // from the first move on the direction is the opposite one, so alpha is the root: twice as many
        assertTrue(steps <= 630, steps + " steps");
    }

    private static float[] logNormal(double sigma) {
        SplittableRandom random = new SplittableRandom(7);
        float[] metrics = new float[BLOCKS]; // [BLOCKS]
        for (int i = 0; i < metrics.length; i++) {
            metrics[i] = (float) Math.exp(sigma * random.nextGaussian());
        }
        Arrays.sort(metrics);
        return metrics;
    }

    private static float right(float[] metrics) {
        return metrics[(int) (0.8 * metrics.length)];
    }

    @ParameterizedTest
    @ValueSource(doubles = {2.0, 1.0, 0.3, 0.1, 0.02})
    void settlesInTheWindowFromAHundredTimesTheThreshold(double sigma) {
        float[] metrics = logNormal(sigma);
        Layer layer = layer(100 * right(metrics));
        assertTrue(layer.step(metrics) < 0.1, "starts outside");
        for (int step = 1; step < SETTLED; step++) {
            layer.step(metrics);
        }
        for (int step = SETTLED; step < 300; step++) {
            double rate = layer.step(metrics);
            assertTrue(inWindow(rate), "rate " + rate + " at step " + step);
        }
    }

    @ParameterizedTest
    @ValueSource(doubles = {2.0, 0.02})
    void settlesInTheWindowFromAHundredthOfTheThreshold(double sigma) {
        float[] metrics = logNormal(sigma);
        Layer layer = layer(0.01f * right(metrics));
        assertTrue(layer.step(metrics) > 0.3, "starts outside");
        for (int step = 1; step < SETTLED; step++) {
            layer.step(metrics);
        }
        for (int step = SETTLED; step < 300; step++) {
            double rate = layer.step(metrics);
            assertTrue(inWindow(rate), "rate " + rate + " at step " + step);
        }
    }

    @Test
    void withoutFlipDampingANarrowDistributionIsJumpedAcrossForEver() {
        // ln 1.3 = 0.262 is 13 sigma, the window 0.757 sigma wide: a step either flags all or none.
        float[] metrics = logNormal(0.02);
        Layer layer = new Layer(false);
        layer.state.put("threshold", new float[] {100 * right(metrics)});
        int outside = 0;
        int steps = 300;
        for (int step = 0; step < SETTLED + steps; step++) {
            double rate = layer.step(metrics);
            outside += step >= SETTLED && !inWindow(rate) ? 1 : 0;
        }
        assertTrue(outside >= steps / 3, outside + " of " + steps + " steps outside");
    }

    @ParameterizedTest
    @ValueSource(doubles = {2.0, 1.0, 0.3, 0.02})
    void cappedThresholdNeverPassesTheWindowAndSettlesWithoutDamping(double sigma) {
        // The cap lifts the threshold at once; from above it sinks by 1.3 a step, ln 100 / ln 1.3 = 17.6 steps, and
        // the cap catches it where it would fall through a narrow distribution.
        float[] metrics = logNormal(sigma);
        for (float factor : new float[] {0.01f, 100}) {
            Layer layer = new Layer(false);
            layer.state.put("threshold", new float[] {factor * right(metrics)});
            for (int step = 0; step < 100; step++) {
                double rate = layer.cappedStep(metrics);
                assertTrue(rate <= 0.3f, "rate " + rate + " at step " + step);
                assertTrue(rate >= 0.1f || (factor > 1 && step < 20), "rate " + rate + " at step " + step);
            }
            assertEquals(0, layer.get("flips"), "the rate is never too high");
        }
    }

    @Test
    void cappedThresholdFollowsActivationsThatGrowAtOnce() {
        float[] metrics = logNormal(0.3);
        Layer layer = layer(right(metrics));
        for (int step = 0; step < 50; step++) {
            for (int i = 0; i < metrics.length; i++) {
                metrics[i] *= 1.5f;
            }
            assertEquals(0.3, layer.cappedStep(metrics), 1.0 / BLOCKS, "step " + step);
        }
    }

    @ParameterizedTest
    @ValueSource(doubles = {0.002, -0.002})
    void settledThresholdFollowsADrift(double drift) {
        // alpha stays at or above 1.3^(1/64) = e^0.0041, so one move undoes at least two steps of drift. Between two
        // moves
        // the drift leads 0.002 = 0.1 sigma beyond the edge of the window, to a rate of P(z > 0.424) = 0.336 or
        // P(z > 1.382) = 0.084. 5 standard errors of a rate over 7168 blocks are 0.028.
        double sigma = 0.02;
        float[] metrics = logNormal(sigma);
        Layer layer = layer(100 * right(metrics));
        for (int step = 0; step < SETTLED; step++) {
            layer.step(metrics);
        }
        double first = layer.get("threshold");
        int steps = 500;
        for (int step = 0; step < steps; step++) {
            for (int i = 0; i < metrics.length; i++) {
                metrics[i] *= (float) Math.exp(drift);
            }
            double rate = layer.step(metrics);
            assertTrue(rate > 0.084 - 0.028 && rate < 0.336 + 0.028, "rate " + rate + " at step " + step);
        }
        // both ends lie within the window or 0.1 sigma beside it
        assertEquals(steps * drift, Math.log(layer.get("threshold") / first), (0.757 + 0.2) * sigma);
    }
}
