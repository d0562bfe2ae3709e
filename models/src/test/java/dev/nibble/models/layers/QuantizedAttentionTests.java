package dev.nibble.models.layers;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.quant.Contraction;
import dev.nibble.quant.Statistic;
import dev.nibble.reference.Hadamard;
import dev.nibble.spi.AttentionShape;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearPlan;
import dev.nibble.spi.PlanRequest;
import dev.nibble.spi.Quantized;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Role;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class QuantizedAttentionTests {
    private final LayerFixture fixture = new LayerFixture(41);

    @AfterEach
    void close() {
        fixture.close();
    }

    /** Output and gradient of qkv after both passes in one step. */
    private record Result(float[] output, float[] gradient) {}

    private Result passes(Attention attention, StepContext context, AttentionShape shape, float[] qkv, float[] dy) {
        Tensor output;
        Tensor gradient;
        try (Tensor packed = fixture.tensor(Shape.of(shape.tokens(), 3L * shape.width()), qkv);
                Tensor gradOutput = fixture.tensor(Shape.of(shape.tokens(), shape.width()), dy);
                StepScope scope = fixture.backend.beginStep(context)) {
            output = attention.forward(scope, packed, shape, Optional.empty()).share();
            gradient =
                    attention.backward(scope, gradOutput, packed, output, shape).share();
        }
        try (output;
                gradient) {
            return new Result(fixture.backend.readFloats(output), fixture.backend.readFloats(gradient));
        }
    }

    /** One part of a head in a packed tensor, [sequence, headSize]. */
    private static double[] part(AttentionShape shape, float[] packed, int parts, int part, int pair) {
        double[] own = new double[shape.sequence() * shape.headSize()]; // [sequence, headSize]
        for (int i = 0; i < own.length; i++) {
            int token = pair / shape.heads() * shape.sequence() + i / shape.headSize();
            int col = part * shape.width() + pair % shape.heads() * shape.headSize() + i % shape.headSize();
            own[i] = packed[token * parts * shape.width() + col];
        }
        return own;
    }

    private static double[] softmax(AttentionShape shape, double[] scores) {
        int keys = shape.sequence();
        double[] p = new double[scores.length]; // [sequence, sequence]
        for (int row = 0; row < keys; row++) {
            int own = shape.causal() ? row + 1 : keys;
            double largest = Double.NEGATIVE_INFINITY;
            for (int j = 0; j < own; j++) {
                largest = Math.max(largest, scores[row * keys + j]);
            }
            double sum = 0;
            for (int j = 0; j < own; j++) {
                p[row * keys + j] = Math.exp(scores[row * keys + j] - largest);
                sum += p[row * keys + j];
            }
            for (int j = 0; j < own; j++) {
                p[row * keys + j] /= sum;
            }
        }
        return p;
    }

    /** {@return a · bᵀ, [m, n]} */
    private static double[] times(double[] a, double[] b, int m, int n) {
        int k = a.length / m;
        double[] out = new double[m * n]; // [m, n]
        for (int i = 0; i < out.length; i++) {
            for (int at = 0; at < k; at++) {
                out[i] += a[i / n * k + at] * b[i % n * k + at];
            }
        }
        return out;
    }

    private static double[] transposed(double[] x, int rows) {
        int cols = x.length / rows;
        double[] out = new double[x.length]; // [cols, rows]
        Arrays.setAll(out, i -> x[i % rows * cols + i / rows]);
        return out;
    }

    @ParameterizedTest
    @CsvSource({"1, true", "13, true", "13, false", "33, true", "40, false"})
    void fp32ProductsAreAttentionUpToTheRoundingsOfTheSecondSum(int sequence, boolean causal) {
        AttentionShape shape = new AttentionShape(2, sequence, 3, 8, causal);
        float[] qkv = fixture.uniform(3 * shape.tokens() * shape.width(), 2);
        float[] dy = fixture.uniform(shape.tokens() * shape.width(), 1);
        float[] expected;
        float[] actual;
        try (Attention plain = new FloatAttention(fixture.backend);
                Attention planned = fixture.plannedAttention("fp32", shape)) {
            expected = passes(plain, StepContext.train(0, 0), shape, qkv, dy).output();
            actual = passes(planned, StepContext.train(0, 0), shape, qkv, dy).output();
        }
        // Scores, maximum, exponentials e, their sum and its reciprocal r have the same bits. Attention sums e·v and
        // multiplies by r,
        // the products multiply e by r and sum: either is within (keys + 1) roundings of Σ e·r·v. Two more for FP64's
        // own weights.
        double bound = 2 * (sequence + 3) * 0x1p-24;
        for (int pair = 0; pair < 6; pair++) {
            double[] scores = times(
                    part(shape, qkv, 3, 0, pair), part(shape, qkv, 3, 1, pair), shape.sequence(), shape.sequence());
            double[] p = softmax(
                    shape,
                    Arrays.stream(scores)
                            .map(s -> s / Math.sqrt(shape.headSize()))
                            .toArray());
            double[] magnitudes =
                    Arrays.stream(part(shape, qkv, 3, 2, pair)).map(Math::abs).toArray();
            double[] sizes = times(p, transposed(magnitudes, sequence), sequence, shape.headSize());
            double[] first = part(shape, expected, 1, 0, pair);
            double[] second = part(shape, actual, 1, 0, pair);
            for (int i = 0; i < first.length; i++) {
                assertEquals(first[i], second[i], bound * sizes[i] * (1 + 1e-4), "pair " + pair + ", element " + i);
            }
        }
    }

    /** {@return what the codes of a matrix mean, as the plan of a layer makes them} */
    private double[] meaning(LinearLayer layer, Map<String, String> options, Role role, double[] x, int rows) {
        LinearPlan plan = LayerFixture.quantizer("luq", options, layer).plan(new PlanRequest(rows, true));
        float[] values = new float[x.length]; // [rows, cols]
        for (int i = 0; i < x.length; i++) {
            values[i] = (float) x[i];
        }
        Tensor meaning;
        try (Tensor tensor = fixture.tensor(Shape.of(rows, x.length / rows), values);
                var state = fixture.backend.allocateState(List.of());
                StepScope scope = fixture.backend.beginStep(StepContext.eval(0));
                Quantized quantized = fixture.backend
                        .quantization()
                        .quantize(scope, plan.quantize(role).only(Contraction.COLUMNS), layer.site(), tensor, state)) {
            meaning = fixture.backend
                    .quantization()
                    .dequantize(scope, quantized.operand(Contraction.COLUMNS))
                    .share();
        }
        try (meaning) {
            return LayerFixture.doubles(fixture.backend.readFloats(meaning));
        }
    }

    /** Codes of q, k, P and v as LUQ makes them, gradients as they are: everything follows from the codes in FP64. */
    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void gradientsAreThoseOfTheQuantizedForwardPass(boolean causal) {
        AttentionShape shape = new AttentionShape(2, 13, 2, 8, causal);
        Map<String, String> options = Map.of("gradQuant", "none");
        float[] qkv = fixture.uniform(3 * shape.tokens() * shape.width(), 2);
        float[] dy = fixture.uniform(shape.tokens() * shape.width(), 1);
        Result result;
        try (Attention planned = fixture.plannedAttention("luq", options, shape)) {
            result = passes(planned, StepContext.train(0, 0), shape, qkv, dy);
        }
        int tokens = shape.sequence();
        int size = shape.headSize();
        LinearLayer scores = new LinearLayer(new Site("scores", 1), size, tokens);
        LinearLayer mix = new LinearLayer(new Site("mix", 2), tokens, size, true);
        double scale = 1 / Math.sqrt(size);
        // Products of head size and keys, softmax of 4 and a sum over keys, its gradient with another, products again.
        int roundings = 2 * (2 * size + 4 * tokens + 12);
        for (int pair = 0; pair < 4; pair++) {
            double[] q = meaning(scores, options, Role.INPUT, part(shape, qkv, 3, 0, pair), tokens);
            double[] k = meaning(scores, options, Role.WEIGHT, part(shape, qkv, 3, 1, pair), tokens);
            double[] p = softmax(
                    shape,
                    Arrays.stream(times(q, k, tokens, tokens))
                            .map(s -> s * scale)
                            .toArray());
            double[] codes = meaning(mix, options, Role.INPUT, p, tokens);
            double[] v =
                    meaning(mix, options, Role.WEIGHT, transposed(part(shape, qkv, 3, 2, pair), tokens), size); // vᵀ
            double[] g = part(shape, dy, 1, 0, pair);
            assertNear(times(codes, v, tokens, size), part(shape, result.output(), 1, 0, pair), roundings, "output");
            double[] gradV = times(transposed(g, tokens), transposed(codes, tokens), size, tokens); // [size, tokens]
            double[] gradP = times(g, transposed(v, size), tokens, tokens);
            double[] gradS = new double[gradP.length]; // [tokens, tokens]
            for (int i = 0; i < gradS.length; i++) {
                double mean = 0;
                for (int j = 0; j < tokens; j++) {
                    mean += p[i / tokens * tokens + j] * gradP[i / tokens * tokens + j];
                }
                gradS[i] = p[i] * (gradP[i] - mean) * scale;
            }
            double[] gradQ = times(gradS, transposed(k, tokens), tokens, size);
            double[] gradK = times(transposed(gradS, tokens), transposed(q, tokens), tokens, size);
            assertNear(gradQ, part(shape, result.gradient(), 3, 0, pair), roundings, "gradient of q");
            assertNear(gradK, part(shape, result.gradient(), 3, 1, pair), roundings, "gradient of k");
            assertNear(transposed(gradV, size), part(shape, result.gradient(), 3, 2, pair), roundings, "gradient of v");
        }
    }

    private static void assertNear(double[] expected, double[] actual, int roundings, String what) {
        float[] values = new float[actual.length]; // [elements]
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) actual[i];
        }
        double worst = GradientCheck.worst(expected, values, roundings);
        assertTrue(worst < 1, what + " is off by " + worst + " times the bound");
        values[values.length / 2] += 1e-3f; // a wrong result must be seen
        assertTrue(GradientCheck.worst(expected, values, roundings) > 1, what);
    }

    /** Two equal sequences, which only their draws tell apart. */
    @ParameterizedTest
    @CsvSource({"luq, luq, true", "luq, rdnp, false"})
    void eachHeadOfEachSequenceHasDrawsOfItsOwn(String quantizer, String gradQuant, boolean differ) {
        AttentionShape one = new AttentionShape(1, 16, 2, 8, true);
        AttentionShape shape = new AttentionShape(2, 16, 2, 8, true);
        float[] qkv = twice(fixture.uniform(3 * one.tokens() * one.width(), 2));
        float[] dy = twice(fixture.uniform(one.tokens() * one.width(), 1));
        float[] gradient;
        try (Attention planned = fixture.plannedAttention(quantizer, Map.of("gradQuant", gradQuant), shape)) {
            gradient = passes(planned, StepContext.train(3, 0), shape, qkv, dy).gradient();
        }
        int half = gradient.length / 2;
        boolean same = Arrays.equals(gradient, 0, half, gradient, half, gradient.length);
        assertEquals(differ, !same);
    }

    private static float[] twice(float[] values) {
        float[] both = Arrays.copyOf(values, 2 * values.length); // [2, values]
        System.arraycopy(values, 0, both, values.length, values.length);
        return both;
    }

    private float state(QuantizedLayer product, String name) {
        return fixture.backend.readFloats(product.state().get(name))[0];
    }

    @Test
    void firstLearnedStepIsThatOfAllHeadsTogether() {
        AttentionShape shape = new AttentionShape(2, 16, 2, 8, true);
        float[] qkv = fixture.uniform(3 * shape.tokens() * shape.width(), 2);
        float[] dy = fixture.uniform(shape.tokens() * shape.width(), 1);
        try (QuantizedAttention planned = fixture.plannedAttention("int4", shape)) {
            passes(planned, StepContext.train(0, 0.1f), shape, qkv, dy);
            for (int part = 0; part < 2; part++) {
                double sum = 0;
                for (int pair = 0; pair < 4; pair++) {
                    double[] own = part(shape, qkv, 3, part, pair);
                    float[] transformed = new float[own.length]; // [sequence, headSize]
                    for (int i = 0; i < own.length; i++) {
                        transformed[i] = (float) own[i];
                    }
                    Hadamard.transform(transformed, 0, transformed.length, 3);
                    for (float value : transformed) {
                        sum += Math.abs(value);
                    }
                }
                double step = 2 * sum / (shape.tokens() * shape.width()) / Math.sqrt(7);
                QuantizedLayer scores = planned.products().getFirst();
                // sums of 8 and of 64 in lanes, division, product, sum
                assertEquals(step, state(scores, part == 0 ? "stepX" : "stepW"), 16 * 0x1p-24 * step);
                assertTrue(state(scores, part == 0 ? "stepXGradient" : "stepWGradient") != 0);
            }
        }
        assertEquals(0, fixture.backend.memory().live(MemoryTag.CONTEXT));
    }

    @Test
    void searchSeesAllHeadsAndTheNextPassHasItsSize() {
        AttentionShape shape = new AttentionShape(1, 16, 2, 8, false);
        float[] qkv = fixture.uniform(3 * shape.tokens() * shape.width(), 0.1);
        for (int token = 0; token < shape.tokens(); token++) {
            qkv[token * 3 * shape.width() + shape.headSize()] = 30; // an outlier in q of the second head
        }
        float[] dy = fixture.uniform(shape.tokens() * shape.width(), 1);
        try (QuantizedAttention planned = fixture.plannedAttention("int4", Map.of("hadamard", "search"), shape)) {
            passes(planned, StepContext.train(0, 0.1f), shape, qkv, dy);
            assertTrue(state(planned.products().getFirst(), "hadamard") > 0, "a transform spreads the outlier");
        }
    }

    /** {@return the output when k and v of the last token have changed, after a step that has set all learned steps} */
    private float[] trainedOutput(QuantizedAttention planned, AttentionShape shape, float[] qkv, boolean changed) {
        float[] own = qkv.clone(); // [tokens, 3 · width]
        int last = (shape.sequence() - 1) * 3 * shape.width();
        for (int i = last + shape.width(); changed && i < own.length; i++) {
            own[i] = -own[i];
        }
        Tensor output;
        try (Tensor packed = fixture.tensor(Shape.of(shape.tokens(), 3L * shape.width()), own);
                StepScope scope = fixture.backend.beginStep(StepContext.eval(1))) {
            output = planned.forward(scope, packed, shape, Optional.empty()).share();
        }
        try (output) {
            return fixture.backend.readFloats(output);
        }
    }

    /** The learned steps are state, so that no scale tells either. A mix with a transform over the keys fails. */
    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void noTokenSeesTheFutureThroughRoundingErrors(boolean transformed) {
        AttentionShape shape = new AttentionShape(1, 32, 2, 8, true);
        float[] qkv = fixture.uniform(3 * shape.tokens() * shape.width(), 2);
        float[] dy = fixture.uniform(shape.tokens() * shape.width(), 1);
        AttentionShape built = new AttentionShape(1, 32, 2, 8, !transformed);
        try (QuantizedAttention planned = fixture.plannedAttention("int4", built)) {
            passes(planned, StepContext.train(0, 0.1f), shape, qkv, dy);
            planned.products().forEach(QuantizedLayer::markTrained);
            float[] output = trainedOutput(planned, shape, qkv, false);
            float[] other = trainedOutput(planned, shape, qkv, true);
            int earlier = (shape.sequence() - 1) * shape.width();
            assertEquals(transformed, !Arrays.equals(output, 0, earlier, other, 0, earlier));
            assertFalse(Arrays.equals(output, other)); // the last token sees itself
        }
    }

    @Test
    void evaluationKeepsNothingAndChangesNoState() {
        AttentionShape shape = new AttentionShape(2, 16, 2, 8, true);
        float[] qkv = fixture.uniform(3 * shape.tokens() * shape.width(), 2);
        try (QuantizedAttention planned = fixture.plannedAttention("int4", shape);
                Tensor packed = fixture.tensor(Shape.of(shape.tokens(), 3L * shape.width()), qkv)) {
            try (StepScope scope = fixture.backend.beginStep(StepContext.eval(0))) {
                planned.forward(scope, packed, shape, Optional.empty()).close();
                assertEquals(0, fixture.backend.memory().live(MemoryTag.CONTEXT));
            }
            for (QuantizedLayer product : planned.products()) {
                assertEquals(0f, state(product, "stepX"));
            }
            try (StepScope scope = fixture.backend.beginStep(StepContext.train(0, 0.1f))) {
                planned.forward(scope, packed, shape, Optional.empty()).close();
                assertTrue(fixture.backend.memory().live(MemoryTag.CONTEXT) > 0);
            }
        }
        assertEquals(0, fixture.backend.memory().live(MemoryTag.CONTEXT)); // closing frees what an unfinished step kept
    }

    @Test
    void recomputationGivesTheSameBits() {
        AttentionShape shape = new AttentionShape(2, 16, 2, 8, true);
        float[] qkv = fixture.uniform(3 * shape.tokens() * shape.width(), 2);
        float[] dy = fixture.uniform(shape.tokens() * shape.width(), 1);
        try (QuantizedAttention planned = fixture.plannedAttention("int4", shape)) {
            Result first = passes(planned, StepContext.train(0, 0.1f), shape, qkv, dy);
            StepContext again = new StepContext(0, 0, StepContext.Mode.RECOMPUTE, 0.1f);
            Result second = passes(planned, again, shape, qkv, dy);
            assertArrayEquals(first.output(), second.output());
            assertArrayEquals(first.gradient(), second.gradient());
        }
    }

    @Test
    void statisticsAreNotedOnlyWhenObserved() {
        AttentionShape shape = new AttentionShape(1, 8, 1, 4, true);
        float[] qkv = fixture.uniform(3 * shape.tokens() * shape.width(), 2);
        float[] dy = fixture.uniform(shape.tokens() * shape.width(), 1);
        try (QuantizedAttention planned = fixture.plannedAttention("int8-row", shape)) {
            QuantizedLayer scores = planned.products().getFirst();
            passes(planned, StepContext.train(0, 0.1f), shape, qkv, dy);
            assertArrayEquals(new float[Statistic.count()], fixture.backend.readFloats(scores.statistics()));
            scores.observe(true);
            passes(planned, StepContext.train(1, 0.1f), shape, qkv, dy);
            double amax = Arrays.stream(part(shape, qkv, 3, 0, 0))
                    .map(Math::abs)
                    .max()
                    .orElseThrow();
            assertEquals((float) amax, fixture.backend.readFloats(scores.statistics())[Statistic.AMAX.ordinal()]);
            assertFalse(planned.products().isEmpty());
        }
    }
}
