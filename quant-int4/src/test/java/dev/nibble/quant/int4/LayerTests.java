package dev.nibble.quant.int4;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.spi.Backend;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.MemoryTag;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class LayerTests {
    private static final double U = 0x1p-24;
    private static final float RATE = 0.01f;

    private final Backend backend = Layer.backend();

    @AfterEach
    void close() {
        backend.close();
    }

    private Layer layer(Map<String, String> options, Matrix weight) {
        return new Layer(backend, options, weight);
    }

    private StepScope train(int step) {
        return backend.beginStep(StepContext.train(step, RATE));
    }

    /** One whole training step. */
    private static void step(Layer layer, StepScope scope, Matrix x, Matrix dy) {
        try (Layer.Pass pass = layer.forward(scope, x)) {
            layer.backward(scope, pass, dy);
        }
        layer.afterOptimizer(scope, x.rows(), RATE, 1, false);
    }

    private static double[] magnitudes(Matrix x) {
        return Arrays.stream(x.widened()).map(Math::abs).toArray();
    }

    @ParameterizedTest
    @CsvSource({"1, 13, 7", "13, 64, 1", "33, 48, 129", "128, 127, 3", "129, 32, 13"})
    void outputIsTheProductOfTheCodes(int tokens, int in, int out) {
        try (Layer layer = layer(Map.of(), Matrix.normal(1, out, in, 0.1));
                StepScope scope = train(0)) {
            for (int pass = 0; pass < 2; pass++) { // fresh, then with steps from the state
                Layer.Pass forward = layer.forward(scope, Matrix.normal(2, tokens, in, 1));
                Matrix x = layer.dequantize(scope, forward.input()).transposed(); // [tokens, in]
                Matrix w = layer.dequantize(scope, forward.weight()).transposed(); // [out, in]
                double[] expected = x.timesTransposed(w); // [tokens, out]
                double[] sums = Matrix.timesTransposed(
                        magnitudes(x), tokens, new Matrix(floats(magnitudes(w)), out, in)); // [tokens, out]
                for (int i = 0; i < expected.length; i++) {
                    // An exact integer sum, a product of scales, one fma; dequantizing rounds each code once a side.
                    assertEquals(expected[i], forward.y().values()[i], 5 * U * sums[i]);
                }
                assertEquals(Layer.scale(forward.input(), 0), layer.state("stepX"));
                assertEquals(Layer.scale(forward.weight(), 0), layer.state("stepW"));
                forward.close();
                layer.afterOptimizer(scope, tokens, RATE, 1, false);
            }
        }
    }

    private static float[] floats(double[] values) {
        float[] narrow = new float[values.length]; // [length]
        for (int i = 0; i < narrow.length; i++) {
            narrow[i] = (float) values[i];
        }
        return narrow;
    }

    @ParameterizedTest
    @CsvSource({"1, 13, 7", "13, 64, 1", "33, 48, 129", "127, 1, 1", "128, 129, 2"})
    void gradientsHaveTheirShapesAtAnySize(int tokens, int in, int out) {
        for (String sampling : List.of("lss", "z", "none")) {
            try (Layer layer = layer(Map.of("sampling", sampling), Matrix.normal(1, out, in, 0.1));
                    StepScope scope = train(0);
                    Layer.Pass pass = layer.forward(scope, Matrix.normal(2, tokens, in, 1))) {
                Layer.Gradients gradients = layer.backward(scope, pass, Matrix.normal(3, tokens, out, 1e-3));
                assertEquals(tokens * in, gradients.input().values().length);
                assertEquals(out * in, gradients.weight().values().length);
                assertFinite(gradients.input());
                assertFinite(gradients.weight());
            }
        }
    }

    private static void assertFinite(Matrix x) {
        for (float value : x.values()) {
            assertTrue(Float.isFinite(value), "found " + value);
        }
    }

    @Test
    void skippingZeroRowsChangesNoBit() {
        Matrix dy = Matrix.normal(3, 20, 8, 1);
        Arrays.fill(dy.values(), 16, 80, 0); // tokens 2 to 9
        Layer.Gradients z = gradients("z", dy);
        Layer.Gradients none = gradients("none", dy);
        assertArrayEquals(none.weight().values(), z.weight().values());
        assertArrayEquals(none.input().values(), z.input().values());
    }

    private Layer.Gradients gradients(String sampling, Matrix dy) {
        try (Layer layer = layer(Map.of("sampling", sampling), Matrix.normal(1, dy.cols(), 32, 0.1));
                StepScope scope = train(0);
                Layer.Pass pass = layer.forward(scope, Matrix.normal(2, dy.rows(), 32, 1))) {
            return layer.backward(scope, pass, dy);
        }
    }

    /** Every second feature is 50 times as large in one column of 64. */
    private static Matrix withOutlierChannel(long seed) {
        Matrix x = Matrix.normal(seed, 128, 64, 1);
        for (int row = 0; row < x.rows(); row++) {
            x.values()[row * 64 + 17] *= 50;
        }
        return x;
    }

    private double relativeError(String hadamard, Matrix x, Matrix w) {
        try (Layer layer = layer(Map.of("hadamard", hadamard), w);
                StepScope scope = train(0);
                Layer.Pass pass = layer.forward(scope, x)) {
            double[] exact = x.timesTransposed(w); // [tokens, out]
            double error = 0;
            double length = 0;
            for (int i = 0; i < exact.length; i++) {
                error += Math.pow(pass.y().values()[i] - exact[i], 2);
                length += exact[i] * exact[i];
            }
            return Math.sqrt(error / length);
        }
    }

    /**
     * A channel of 50 deviations among 64 makes the first step about 1.1 deviations: without a transform the channel is clipped
     * at 7 of them, and loses most of what makes the output. In blocks of 32 it becomes 50 / sqrt(32) = 9 deviations in each
     * column, the step about 3.5, and nothing is clipped but the tail: errors of 3.5 / sqrt(12) in each of 64 columns beside
     * a length of 50.
     */
    @ParameterizedTest
    @ValueSource(longs = {1, 2, 3})
    void transformSavesAnOutlierChannel(long seed) {
        Matrix x = withOutlierChannel(seed);
        Matrix w = Matrix.normal(seed + 10, 16, 64, 0.1);
        double without = relativeError("none", x, w);
        double with = relativeError("32", x, w);
        assertTrue(without > 0.5, "without: " + without);
        assertTrue(with < 0.4, "with: " + with);
        assertTrue(with < without / 2, "with " + with + ", without " + without);
        assertTrue(relativeError("search", x, w) < without / 2);
    }

    @Test
    void searchSettlesTheBlockInTheColdStart() {
        Matrix x = withOutlierChannel(1);
        Matrix w = Matrix.normal(2, 16, 64, 0.1);
        try (Layer layer = layer(Map.of("hadamard", "search"), w)) {
            assertEquals(5, layer.state("hadamard"), "32 until it is known");
            try (StepScope scope = train(0)) {
                step(layer, scope, x, Matrix.normal(3, 128, 16, 1));
            }
            float found = layer.state("hadamard");
            assertTrue(found >= 4, "an outlier channel wants a large block, but got 2^" + found);
            try (StepScope scope = train(1)) {
                step(layer, scope, Matrix.normal(4, 128, 64, 1), Matrix.normal(3, 128, 16, 1));
            }
            assertEquals(found, layer.state("hadamard"), "and it stays");
        }
    }

    @Test
    void coldStartEndsAfterItsSteps() {
        try (Layer layer = layer(Map.of("coldStart", "2"), Matrix.normal(1, 8, 32, 0.1))) {
            for (int step = 0; step < 4; step++) {
                float scale;
                float before = layer.state("stepX");
                try (StepScope scope = train(step)) {
                    Layer.Pass pass = layer.forward(scope, Matrix.normal(step, 16, 32, step + 1));
                    scale = Layer.scale(pass.input(), 0);
                    layer.backward(scope, pass, Matrix.normal(9, 16, 8, 1));
                    layer.afterOptimizer(scope, 16, RATE, 1, false);
                    pass.close();
                }
                if (step < 2) {
                    assertEquals(0.6 * (step + 1), scale, 0.06 * (step + 1));
                    assertEquals(scale, layer.state("stepX"));
                } else {
                    assertEquals(before, scale);
                    assertNotEquals(before, layer.state("stepX"));
                    assertEquals(before, layer.state("stepX"), 0.011 * before, "at most by the learning rate");
                }
            }
        }
    }

    @Test
    void gradientsOfMicroBatchesAreGatheredIntoOneUpdate() {
        Matrix x = Matrix.normal(1, 16, 32, 1);
        Matrix dy = Matrix.normal(2, 16, 8, 1);
        try (Layer layer = layer(Map.of(), Matrix.normal(3, 8, 32, 0.1))) {
            try (StepScope scope = train(0)) {
                step(layer, scope, x, dy);
            }
            float[] gathered = new float[2]; // of both micro-batches
            for (int microBatch = 0; microBatch < 2; microBatch++) {
                StepContext context = new StepContext(1, microBatch, StepContext.Mode.TRAIN, RATE);
                try (StepScope scope = backend.beginStep(context);
                        Layer.Pass pass = layer.forward(scope, x)) {
                    layer.backward(scope, pass, dy);
                    gathered[microBatch] = layer.state("stepWGradient");
                    if (microBatch == 1) {
                        layer.afterOptimizer(scope, 16, RATE, 1, false);
                    }
                }
            }
            assertNotEquals(0, gathered[0]);
            // Both add about the same, with draws of their own; the first one alone would leave half of it.
            assertTrue(gathered[1] / gathered[0] > 1.2, Arrays.toString(gathered));
            float g = layer.state("stepWSettled") * gathered[1]; // near enough to s before the update, 1 % off
            assertEquals(0.1 * g, layer.state("stepWFirst"), 0.03 * Math.abs(g) * 0.1 + 1e-12);
            assertEquals(0, layer.state("stepWGradient"));
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void recomputingGivesTheSameBitsAndLeavesTheStateAlone(boolean fresh) {
        for (String hadamard : List.of("auto", "search", "none")) {
            Matrix x = withOutlierChannel(5);
            try (Layer layer = layer(Map.of("hadamard", hadamard), Matrix.normal(1, 8, 64, 0.1))) {
                if (!fresh) {
                    try (StepScope scope = train(0)) {
                        step(layer, scope, Matrix.normal(6, 128, 64, 1), Matrix.normal(2, 128, 8, 1));
                    }
                }
                Layer.Pass pass;
                try (StepScope scope = train(1)) {
                    pass = layer.forward(scope, x);
                }
                Map<String, Float> state = layer.states();
                StepContext again = new StepContext(1, 0, StepContext.Mode.RECOMPUTE, RATE);
                try (StepScope scope = backend.beginStep(again);
                        Layer.Pass recomputed = layer.forward(scope, x)) {
                    assertArrayEquals(pass.y().values(), recomputed.y().values());
                    assertArrayEquals(
                            layer.dequantize(scope, pass.input()).values(),
                            layer.dequantize(scope, recomputed.input()).values());
                    assertEquals(state, layer.states());
                }
                try (StepScope scope = backend.beginStep(StepContext.eval(1))) {
                    layer.forward(scope, Matrix.normal(7, 128, 64, 3)).close();
                    assertEquals(state, layer.states(), "evaluation");
                }
                pass.close();
            }
        }
    }

    @Test
    void stepsFollowTheirGradientTowardsLessError() {
        // Y = X · Wᵀ of codes, to be Y of the exact product; only the step of X is wrong, by a factor of 4.
        Matrix x = Matrix.normal(1, 64, 32, 1);
        Matrix w = Matrix.normal(2, 16, 32, 0.2);
        double[] target = x.timesTransposed(w); // [64, 16]
        try (Layer layer = layer(Map.of("stepRate", "4", "sampling", "none"), w)) {
            double first = 0;
            double last = 0;
            for (int step = 0; step < 120; step++) {
                try (StepScope scope = train(step);
                        Layer.Pass pass = layer.forward(scope, x)) {
                    float[] dy = new float[target.length]; // [64, 16]
                    last = 0;
                    for (int i = 0; i < dy.length; i++) {
                        dy[i] = (float) (pass.y().values()[i] - target[i]);
                        last += dy[i] * dy[i];
                    }
                    layer.backward(scope, pass, new Matrix(dy, 64, 16));
                    layer.afterOptimizer(scope, 64, RATE, 1, false);
                }
                if (step == 0) {
                    layer.state("stepX", 4 * layer.state("stepX"));
                } else if (step == 1) {
                    first = last;
                }
            }
            assertTrue(last < first / 4, "squared error " + first + ", then " + last);
        }
    }

    @Test
    void savedContextIsHalfAByteAnElement() {
        int tokens = 256;
        int in = 704;
        try (Layer layer = layer(Map.of(), Matrix.normal(1, 8, in, 0.1));
                StepScope scope = train(0)) {
            long before = Layer.live(backend, MemoryTag.CONTEXT);
            try (Layer.Pass _ = layer.forward(scope, Matrix.normal(2, tokens, in, 1))) {
                long saved = Layer.live(backend, MemoryTag.CONTEXT) - before;
                assertTrue(saved >= (long) tokens * in / 2, saved + " bytes");
                assertTrue(saved <= 0.55 * tokens * in, saved + " bytes");
            }
        }
    }

    @Test
    void zeroGradientGivesZerosAndMovesNoStep() {
        try (Layer layer = layer(Map.of(), Matrix.normal(1, 8, 32, 0.1))) {
            for (int step = 0; step < 3; step++) {
                try (StepScope scope = train(step);
                        Layer.Pass pass = layer.forward(scope, Matrix.normal(2, 16, 32, 1))) {
                    Layer.Gradients gradients = layer.backward(scope, pass, Matrix.zeros(16, 8));
                    assertArrayEquals(new float[16 * 32], gradients.input().values());
                    assertArrayEquals(new float[8 * 32], gradients.weight().values());
                    float before = layer.state("stepX");
                    layer.afterOptimizer(scope, 16, RATE, 1, false);
                    assertEquals(before, layer.state("stepX"));
                }
            }
        }
    }

    @Test
    void layerRecoversFromATensorOfZeros() {
        Matrix x = Matrix.normal(1, 16, 32, 1);
        Matrix dy = Matrix.normal(2, 16, 8, 1);
        try (Layer layer = layer(Map.of(), Matrix.zeros(8, 32))) {
            try (StepScope scope = train(0);
                    Layer.Pass pass = layer.forward(scope, Matrix.zeros(16, 32))) {
                assertArrayEquals(new float[16 * 8], pass.y().values());
                Layer.Gradients gradients = layer.backward(scope, pass, dy);
                assertArrayEquals(new float[16 * 32], gradients.input().values());
                assertArrayEquals(new float[8 * 32], gradients.weight().values());
                layer.afterOptimizer(scope, 16, RATE, 1, false);
            }
            layer.weight(Matrix.normal(3, 8, 32, 0.1));
            try (StepScope scope = train(1);
                    Layer.Pass pass = layer.forward(scope, x)) {
                assertEquals(0.6, layer.state("stepX"), 0.06);
                assertEquals(0.06, layer.state("stepW"), 0.01);
                assertFinite(layer.backward(scope, pass, dy).weight());
                layer.afterOptimizer(scope, 16, RATE, 1, false);
                assertEquals(0.6, layer.state("stepX"), 0.06);
            }
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"lss", "z", "none"})
    void whatIsNotFiniteSpoilsTheStepAndNothingElse(String sampling) {
        Matrix x = Matrix.normal(1, 16, 32, 1);
        Matrix dy = Matrix.normal(2, 16, 8, 1);
        for (float bad : new float[] {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY}) {
            for (boolean fresh : new boolean[] {true, false}) {
                try (Layer layer = layer(Map.of("sampling", sampling), Matrix.normal(3, 8, 32, 0.1))) {
                    if (!fresh) {
                        try (StepScope scope = train(0)) {
                            step(layer, scope, x, dy);
                        }
                    }
                    Map<String, Float> before = layer.states();
                    try (StepScope scope = train(1);
                            Layer.Pass pass = layer.forward(scope, x.with(7, bad))) {
                        assertAllNan(pass.y());
                        assertAllNan(layer.backward(scope, pass, dy).weight());
                        layer.afterOptimizer(scope, 16, RATE, 1, true);
                    }
                    assertEquals(before, layer.states());
                    try (StepScope scope = train(1);
                            Layer.Pass pass = layer.forward(scope, x)) {
                        Layer.Gradients gradients = layer.backward(scope, pass, dy.with(3, bad));
                        assertAllNan(gradients.weight());
                        assertAllNan(gradients.input());
                        layer.afterOptimizer(scope, 16, RATE, 1, true);
                    }
                    assertEquals(before, layer.states());
                }
                assertEquals(2, backend.takeNonFinite().size(), "X, then dY");
            }
        }
    }

    private static void assertAllNan(Matrix x) {
        for (float value : x.values()) {
            assertTrue(Float.isNaN(value), "found " + value);
        }
    }

    @ParameterizedTest
    @ValueSource(floats = {1e-30f, 1e-20f, 1, 1e15f})
    void tensorsOfAnyMagnitudeAreComputed(float magnitude) {
        try (Layer layer = layer(Map.of("sampling", "none"), Matrix.normal(1, 8, 32, 1))) {
            for (int step = 0; step < 3; step++) {
                try (StepScope scope = train(step);
                        Layer.Pass pass = layer.forward(scope, Matrix.normal(2, 16, 32, magnitude))) {
                    Layer.Gradients gradients = layer.backward(scope, pass, Matrix.normal(3, 16, 8, magnitude));
                    assertFinite(pass.y());
                    assertFinite(gradients.input());
                    assertFinite(gradients.weight());
                    layer.afterOptimizer(scope, 16, RATE, 1, false);
                    assertTrue(Float.isFinite(layer.state("stepX")) && layer.state("stepX") >= 0);
                }
            }
            assertEquals(List.of(), backend.takeNonFinite());
        }
    }

    @Test
    void emptyInputIsRefused() {
        try (Layer layer = layer(Map.of(), Matrix.normal(1, 8, 32, 1));
                StepScope scope = train(0)) {
            IllegalArgumentException refused =
                    assertThrows(IllegalArgumentException.class, () -> layer.forward(scope, Matrix.zeros(0, 32)));
            assertTrue(refused.getMessage().contains("is empty"), refused.getMessage());
        }
    }
}
