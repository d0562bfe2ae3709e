package dev.nibble.quant.int4;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.quant.Statistic;
import dev.nibble.reference.ReferenceStateProgram;
import dev.nibble.spi.Control;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearPlan;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.PlanRequest;
import dev.nibble.state.StateInput;
import dev.nibble.state.StateVector;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The programs that move a layer's steps, run on arrays. */
class LearnedStepTests {
    private static final float RATE = 0.01f;

    /** The state of a layer, and its programs. */
    private static final class State {
        private final LinearQuantizer quantizer;
        private final Map<String, float[]> vectors = new TreeMap<>();

        State(Map<String, String> options) {
            quantizer = Layer.quantizer(options, new LinearLayer(Layer.SITE, 64, 8));
            for (StateVector vector : quantizer.state()) {
                vectors.put(vector.name(), new float[] {vector.initial().getFirst()});
            }
        }

        /** {@return a layer after its cold start, with these steps} */
        static State with(float stepX, float stepW, Map<String, String> options) {
            State state = new State(options);
            state.forward(true, stepX, stepW);
            state.optimizer(true, RATE, 1, false);
            return state;
        }

        float get(String name) {
            return vectors.get(name)[0];
        }

        void set(String name, float value) {
            vectors.get(name)[0] = value;
        }

        Map<String, Float> all() {
            Map<String, Float> values = new TreeMap<>();
            vectors.forEach((name, vector) -> values.put(name, vector[0]));
            return values;
        }

        private LinearPlan plan(boolean fresh) {
            return quantizer.plan(new PlanRequest(16, fresh));
        }

        void forward(boolean fresh, float scaleX, float scaleW) {
            float[] input = new float[Statistic.count()]; // [Statistic.count()]
            float[] weight = new float[Statistic.count()]; // [Statistic.count()]
            input[Statistic.SCALE.ordinal()] = scaleX;
            weight[Statistic.SCALE.ordinal()] = scaleW;
            ReferenceStateProgram.run(
                    plan(fresh).afterForward(),
                    vectors,
                    Map.of(StateInput.INPUT_STATISTICS, input, StateInput.WEIGHT_STATISTICS, weight));
        }

        void optimizer(boolean fresh, float learningRate, float clip, boolean skipped) {
            float[] control = new float[Control.count()]; // [Control.count()]
            control[Control.LEARNING_RATE.ordinal()] = learningRate;
            control[Control.CLIP.ordinal()] = clip;
            control[Control.SKIPPED.ordinal()] = skipped ? 1 : 0;
            ReferenceStateProgram.run(plan(fresh).afterOptimizer(), vectors, Map.of(StateInput.CONTROL, control));
        }

        /** An update from gradients of both steps. */
        void update(float gradientX, float gradientW) {
            set("stepXGradient", gradientX);
            set("stepWGradient", gradientW);
            optimizer(false, RATE, 1, false);
        }
    }

    @Test
    void coldStartFollowsTheBatches() {
        State state = new State(Map.of("coldStart", "3"));
        for (float scale : new float[] {0.5f, 2, 0.25f}) {
            state.forward(true, scale, 3 * scale);
            assertEquals(scale, state.get("stepX"));
            assertEquals(3 * scale, state.get("stepW"));
            state.set("stepXGradient", 5);
            state.set("stepWGradient", -5);
            state.optimizer(true, RATE, 1, false);
            assertEquals(scale, state.get("stepX"));
            assertEquals(3 * scale, state.get("stepW"));
            assertEquals(0, state.get("stepXGradient"));
            assertEquals(0, state.get("stepWGradient"));
        }
        assertEquals(0, state.get("stepXFirst"), "nothing is learned yet");
        assertEquals(1, state.get("beta1Power"));
    }

    @Test
    void updatesFollowAdamOnTheLogarithmOfTheStep() {
        float[] gradients = {0.3f, -0.1f, 2, 0, -4, 1e-6f, 0.7f};
        State state = State.with(0.5f, 3, Map.of("stepRate", "2"));
        double s = 0.5;
        double m = 0;
        double v = 0;
        for (int t = 1; t <= gradients.length; t++) {
            float clip = t == 3 ? 0.25f : 1;
            float learningRate = RATE / t;
            double g = s * gradients[t - 1] * clip;
            m = 0.9f * m + (1 - 0.9f) * g;
            v = 0.99f * v + (1 - 0.99f) * g * g;
            double mean = m / (1 - Math.pow(0.9f, t));
            double deviation = Math.sqrt(v / (1 - Math.pow(0.99f, t)));
            s *= 1 - Math.clamp(2 * learningRate * mean / (deviation + 1e-20), -0.1, 0.1);
            state.set("stepXGradient", gradients[t - 1]);
            state.optimizer(false, learningRate, clip, false);
            // About 20 roundings an update; 1 - 0.99^t loses up to 7 bits: 2^7 · 20 · 2^-24 of a change of 0.02 s, at
            // most.
            assertEquals(s, state.get("stepX"), s * t * (0.02 * 0x1p-13 + 0x1p-23));
            assertEquals(0, state.get("stepXGradient"));
        }
        assertEquals(3, state.get("stepW"), "no gradient, no change");
    }

    @Test
    void firstUpdateMovesAgainstTheGradientByTheRate() {
        State state = State.with(0.5f, 3, Map.of());
        state.update(1e-3f, -4e3f);
        // m / sqrt(v) is the sign of the gradient, but for 20 roundings
        assertEquals(0.5 * (1 - RATE), state.get("stepX"), 0.5 * 20 * 0x1p-24);
        assertEquals(3 * (1 + RATE), state.get("stepW"), 3 * 20 * 0x1p-24);
    }

    @Test
    void updateDoesNotDependOnTheSizeOfTheGradient() {
        State small = State.with(0.5f, 3, Map.of());
        State large = State.with(0.5f, 3, Map.of());
        for (float gradient : new float[] {1, -0.5f, 0.25f, 3}) {
            small.update(gradient * 0x1p-30f, gradient);
            large.update(gradient * 0x1p30f, gradient);
        }
        // Powers of two change no rounding; adding 1e-20 to 2^-31 or more does not either.
        assertEquals(small.get("stepX"), large.get("stepX"));
        assertNotEquals(0.5f, small.get("stepX"));
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void skippedStepLeavesEverythingAsItWas(boolean fresh) {
        for (Map<String, String> options : java.util.List.of(
                Map.<String, String>of(), Map.of("hadamard", "search"), Map.of("learnSteps", "false"))) {
            State state = State.with(0.5f, 3, options);
            if (!fresh) {
                state.update(1, -1);
            }
            Map<String, Float> before = state.all();
            if (fresh && options.containsKey("hadamard")) {
                state.set("hadamard", 0); // what a search found in the skipped step
            }
            state.forward(fresh, 77, Float.NaN);
            state.set("stepXGradient", Float.NaN);
            state.set("stepWGradient", Float.POSITIVE_INFINITY);
            state.optimizer(fresh, RATE, Float.NaN, true);
            assertEquals(before, state.all());
        }
    }

    @Test
    void gradientThatIsNotFiniteOrTooLargeIsLeftOut() {
        for (float bad :
                new float[] {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY, 1e20f, Float.MAX_VALUE}) {
            State state = State.with(0.5f, 3, Map.of());
            state.update(1, 1);
            float stepX = state.get("stepX");
            float first = state.get("stepXFirst");
            state.update(bad, 1);
            assertEquals(stepX, state.get("stepX"));
            assertEquals(first, state.get("stepXFirst"));
            assertEquals(0, state.get("stepXGradient"));
            state.update(1, 1);
            assertTrue(state.get("stepX") < stepX, "it goes on");
            assertTrue(state.get("stepW") < 3 * (1 - 2.5f * RATE), "the other step is not held up");
        }
    }

    @Test
    void changeIsBounded() {
        State state = State.with(0.5f, 3, Map.of("stepRate", "1e30"));
        state.update(1, -1);
        assertEquals(0.5f * (1 - 0.1f), state.get("stepX"));
        assertEquals(3 * (1 + 0.1f), state.get("stepW"));
    }

    @Test
    void stepStaysPositiveHoweverLongItShrinks() {
        State state = State.with(1e-7f, 3, Map.of("stepRate", "1e6"));
        for (int i = 0; i < 100 && state.get("stepX") > 1e-8f; i++) {
            state.update(1, 0);
            assertTrue(state.get("stepX") >= 1e-8f, "step " + state.get("stepX"));
        }
        assertEquals(1e-8f, state.get("stepX"), "the floor is reached");
    }

    @Test
    void stepOfATensorOfZerosIsGivenUpForThatOfTheNextBatch() {
        State state = State.with(1e-10f, 3, Map.of());
        assertEquals(0, state.get("stepX"));
        assertEquals(3, state.get("stepW"));
        state.forward(false, 0.75f, 3);
        assertEquals(0.75f, state.get("stepX"));
        state.update(0, 0);
        assertEquals(0.75f, state.get("stepX"));
    }

    @Test
    void scaleThatIsNoNumberIsNotTakenOver() {
        State state = State.with(0.5f, 3, Map.of());
        state.forward(true, Float.NaN, 4);
        assertEquals(0.5f, state.get("stepX"));
        assertEquals(4, state.get("stepW"));
    }

    @Test
    void stepsCanBeHeld() {
        State state = State.with(0.5f, 3, Map.of("learnSteps", "false"));
        Map<String, Float> before = state.all();
        state.update(1, -1);
        assertEquals(before, state.all());
        State unmoved = State.with(0.5f, 3, Map.of("stepRate", "0"));
        unmoved.update(1, -1);
        assertEquals(0.5f, unmoved.get("stepX"));
    }
}
