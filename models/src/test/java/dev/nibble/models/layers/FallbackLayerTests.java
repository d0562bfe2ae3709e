package dev.nibble.models.layers;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.spi.Control;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.OptionValues;
import dev.nibble.spi.Plugins;
import dev.nibble.spi.QuantizerProvider;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.TreeMap;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** A layer under {@code int8-fallback} from step to step: when its state moves, and that it can be taken up again. */
class FallbackLayerTests {
    private static final int BLOCK = 16;
    private static final int TOKENS = 8 * BLOCK;
    private static final int IN = 5 * BLOCK;
    private static final int OUT = 24;
    private static final float RATE = 0.1f;

    private final LayerFixture fixture = new LayerFixture(17);
    private final Parameter weight = fixture.weight("w", OUT, IN);
    private final float[] dy = fixture.uniform((long) TOKENS * OUT, 1e-3);

    @AfterEach
    void close() {
        fixture.close();
    }

    private QuantizedLinear layer(String... options) {
        Map<String, String> given = new HashMap<>(Map.of("block", String.valueOf(BLOCK)));
        for (int i = 0; i < options.length; i += 2) {
            given.put(options[i], options[i + 1]);
        }
        LinearLayer description = new LinearLayer(new Site("blocks.0.mlp.down", 5), IN, OUT);
        QuantizerProvider provider = Plugins.quantizers().get("int8-fallback");
        LinearQuantizer quantizer = provider.create(OptionValues.of("int8-fallback", provider.options(), given))
                .linear(description);
        return new QuantizedLinear(fixture.backend, description, quantizer, weight);
    }

    /** Inputs that grow from step to step, and have outliers in more and more blocks: the threshold has to move. */
    private static float[] input(int step) {
        SplittableRandom random = new SplittableRandom(step);
        float[] x = new float[TOKENS * IN]; // [TOKENS, IN]
        for (int i = 0; i < x.length; i++) {
            x[i] = (float) ((1 + step) * (2 * random.nextDouble() - 1));
        }
        for (int i = 0; i <= 2 * step; i++) {
            x[(i * 977 + 13) % x.length] = 100;
        }
        return x;
    }

    private static StepContext train(int step) {
        return StepContext.train(step, RATE);
    }

    private Map<String, Float> state(QuantizedLinear layer) {
        Map<String, Float> values = new TreeMap<>();
        layer.state()
                .all()
                .forEach((name, vector) -> values.put(name, fixture.backend.readFloats(vector)[0]));
        return values;
    }

    /** What a forward and a backward pass gave. */
    private record Pass(float[] y, float[] dx, float[] dw) {
        void assertSame(Pass other, String what) {
            assertArrayEquals(y, other.y, what + ": y");
            assertArrayEquals(dx, other.dx, what + ": dx");
            assertArrayEquals(dw, other.dw, what + ": dw");
        }
    }

    private Pass pass(QuantizedLinear layer, StepContext context, float[] x, float[] gradient) {
        fixture.backend.write(weight.gradient(), new float[OUT * IN]);
        Tensor y;
        Tensor dx;
        try (Tensor input = fixture.tensor(Shape.of(x.length / IN, IN), x);
                Tensor gradOutput = fixture.tensor(Shape.of(x.length / IN, OUT), gradient);
                StepScope scope = fixture.backend.beginStep(context)) {
            y = layer.forward(scope, input).share();
            dx = layer.backward(scope, gradOutput).share();
        }
        try (y;
                dx) {
            return new Pass(fixture.backend.readFloats(y), fixture.backend.readFloats(dx), fixture.gradient(weight));
        }
    }

    private float[] output(QuantizedLinear layer, StepContext context, float[] x) {
        Tensor y;
        try (Tensor input = fixture.tensor(Shape.of(x.length / IN, IN), x);
                StepScope scope = fixture.backend.beginStep(context)) {
            y = layer.forward(scope, input).share();
        }
        try (y) {
            return fixture.backend.readFloats(y);
        }
    }

    private void optimizer(QuantizedLinear layer) {
        float[] control = new float[Control.count()]; // [Control.count()]
        try (Tensor tensor = fixture.tensor(Shape.of(control.length), control);
                StepScope scope = fixture.backend.beginStep(train(0))) {
            layer.releaseWeight();
            layer.afterOptimizer(scope, tensor);
        }
        layer.markTrained();
    }

    private Pass step(QuantizedLinear layer, int step) {
        Pass pass = pass(layer, train(step), input(step), dy);
        optimizer(layer);
        return pass;
    }

    @ParameterizedTest
    @CsvSource({"delayed, absmax", "delayed, l1", "delayed, l1-rel", "capped, absmax", "exact, absmax"})
    void evaluationAndRecomputationLeaveTheStateAlone(String threshold, String criterion) {
        try (QuantizedLinear layer = layer("threshold", threshold, "criterion", criterion)) {
            for (int step = 0; step < 3; step++) { // step 0 is fresh
                Map<String, Float> before = state(layer);
                output(layer, StepContext.eval(step), input(step));
                pass(layer, new StepContext(step, 0, StepContext.Mode.RECOMPUTE, RATE), input(step), dy);
                assertEquals(before, state(layer), "step " + step);
                step(layer, step);
                assertEquals(threshold.equals("exact"), before.equals(state(layer)), "training moves it");
            }
        }
    }

    @ParameterizedTest
    @CsvSource({"delayed, false", "delayed, true", "capped, false", "exact, true"})
    void recomputedPassHasTheBitsOfTheFirst(String threshold, String modeB) {
        try (QuantizedLinear layer = layer("threshold", threshold, "residualInGradWeight", modeB)) {
            for (int step = 0; step < 3; step++) {
                StepContext again = new StepContext(step, 2, StepContext.Mode.RECOMPUTE, RATE);
                Pass first = pass(layer, new StepContext(step, 2, StepContext.Mode.TRAIN, RATE), input(step), dy);
                first.assertSame(pass(layer, again, input(step), dy), "step " + step);
                Pass other = pass(layer, new StepContext(step, 3, StepContext.Mode.RECOMPUTE, RATE), input(step), dy);
                assertArrayEquals(first.y, other.y, "the forward pass draws nothing");
                assertFalse(Arrays.equals(first.dw, other.dw), "another micro-batch has draws of its own");
                optimizer(layer);
            }
        }
    }

    @Test
    void evaluationUsesTheThresholdOfTraining() {
        try (QuantizedLinear layer = layer()) {
            step(layer, 0);
            step(layer, 1);
            float[] trained = pass(layer, train(2), input(2), dy).y;
            assertArrayEquals(trained, output(layer, StepContext.eval(2), input(2)));
        }
    }

    private void restore(QuantizedLinear from, QuantizedLinear to) {
        from.state()
                .all()
                .forEach((name, vector) ->
                        fixture.backend.write(to.state().get(name), fixture.backend.readFloats(vector)));
    }

    @ParameterizedTest
    @CsvSource({"delayed, absmax", "delayed, l1", "delayed, l1-rel", "capped, absmax", "exact, absmax"})
    void layerGoesOnToTheSameBitsFromStateThatWasReadAndWritten(String threshold, String criterion) {
        int stop = 5;
        try (QuantizedLinear layer = layer("threshold", threshold, "criterion", criterion);
                QuantizedLinear restored = layer("threshold", threshold, "criterion", criterion)) {
            for (int step = 0; step < stop; step++) {
                step(layer, step);
            }
            restore(layer, restored);
            restored.markTrained();
            for (int step = stop; step < stop + 5; step++) {
                step(layer, step).assertSame(step(restored, step), "step " + step);
                assertEquals(state(layer), state(restored), "step " + step);
            }
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"state", "trained"})
    void layerWithoutItsStateOrItsAgeGoesOnDifferently(String missing) {
        try (QuantizedLinear layer = layer();
                QuantizedLinear restored = layer()) {
            for (int step = 0; step < 5; step++) {
                step(layer, step);
            }
            if (missing.equals("state")) {
                restored.markTrained();
            } else {
                restore(layer, restored);
            }
            assertFalse(Arrays.equals(step(layer, 5).y, step(restored, 5).y));
            assertNotEquals(state(layer), state(restored));
        }
    }

    /** The two halves of a batch, cut between blocks, with the threshold of an earlier step. */
    @Test
    void microBatchesGiveTheOutputOfTheWholeAndItsGradientUpToRounding() {
        try (QuantizedLinear layer = layer("residualInGradWeight", "true")) {
            step(layer, 0);
            float[] x = input(1);
            Pass whole = pass(layer, train(1), x, dy);
            Pass first = half(layer, 0, x, 0);
            Pass second = half(layer, 1, x, 1);
            float[] joined = Arrays.copyOf(first.y, 2 * first.y.length); // [TOKENS, OUT]
            System.arraycopy(second.y, 0, joined, first.y.length, second.y.length);
            assertArrayEquals(whole.y, joined);
            double largest = 0;
            for (int i = 0; i < whole.dw.length; i++) {
                // Each of the two draws has a variance of at most s²/4 · Σ x̂² with s = amax / 127 of its block of
                // dY, at most 1e-3 / 127; x̂ is x up to 2^-15 of its block's amax, which the factor 1.01 covers.
                double squares = 0;
                for (int token = 0; token < TOKENS; token++) {
                    squares += Math.pow(x[token * IN + i % IN], 2);
                }
                double error = Math.sqrt(2 * Math.pow(1e-3 / 127, 2) / 4 * 1.01 * squares);
                double difference = Math.abs(whole.dw[i] - first.dw[i] - second.dw[i]);
                assertTrue(difference <= 5 * error, "element " + i + ": " + difference + ", standard error " + error);
                largest = Math.max(largest, difference / error);
            }
            assertTrue(largest > 1, "rounding is seen: " + largest);
        }
    }

    private Pass half(QuantizedLinear layer, int microBatch, float[] x, int half) {
        StepContext context = new StepContext(1, microBatch, StepContext.Mode.TRAIN, RATE);
        return pass(
                layer,
                context,
                Arrays.copyOfRange(x, half * x.length / 2, (half + 1) * x.length / 2),
                Arrays.copyOfRange(dy, half * dy.length / 2, (half + 1) * dy.length / 2));
    }
}
