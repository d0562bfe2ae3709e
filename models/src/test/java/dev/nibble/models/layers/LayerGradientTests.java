package dev.nibble.models.layers;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.spi.AttentionShape;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.function.BiFunction;
import java.util.function.ToDoubleFunction;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Each layer's gradients against central differences of its formula in FP64. */
class LayerGradientTests {
    private static final int BATCH = 2;
    private static final int SEQUENCE = 3;
    private static final int TOKENS = BATCH * SEQUENCE;
    private static final int HEADS = 2;
    private static final int SIZE = 4;
    private static final int WIDTH = HEADS * SIZE;
    private static final int HIDDEN = 5;

    private final LayerFixture fixture = new LayerFixture(11);

    @AfterEach
    void close() {
        fixture.close();
    }

    private interface Pass {
        Tensor run(StepScope scope, Tensor tensor);
    }

    /**
     * Runs a layer with a random input and gradient, and checks dX and all dW.
     *
     * @param roundings on the longest path through the forward and backward pass
     * @param formula output in FP64 for an input and the parameters' values
     */
    private void check(
            int in,
            int roundings,
            Pass forward,
            Pass backward,
            List<Parameter> parameters,
            BiFunction<double[], List<double[]>, double[]> formula) {
        float[] x = fixture.uniform((long) TOKENS * in, 1);
        List<double[]> weights = parameters.stream().map(fixture::values).toList();
        double[] input = LayerFixture.doubles(x);
        double[] expected = formula.apply(input, weights);
        int out = expected.length / TOKENS;
        float[] gradOutput = fixture.uniform(expected.length, 1);
        Tensor xTensor = fixture.tensor(Shape.of(TOKENS, in), x);
        Tensor gradTensor = fixture.tensor(Shape.of(TOKENS, out), gradOutput);
        Tensor y;
        Tensor gradInput;
        try (Tensor handle = xTensor.share(); // a block closes its input, other layers do not
                StepScope scope = fixture.backend.beginStep(StepContext.train(0, 0.1f))) {
            y = forward.run(scope, handle).share();
            gradInput = backward.run(scope, gradTensor).share();
        }
        assertTrue(GradientCheck.worst(expected, fixture.backend.readFloats(y), roundings) < 1);
        assertGradient(input, roundings, gradInput, v -> DoubleModel.dot(formula.apply(v, weights), gradOutput));
        for (int p = 0; p < parameters.size(); p++) {
            int index = p;
            assertGradient(weights.get(p), roundings, parameters.get(p).gradient(), v -> {
                List<double[]> changed = new ArrayList<>(weights);
                changed.set(index, v);
                return DoubleModel.dot(formula.apply(input, changed), gradOutput);
            });
        }
        for (Tensor tensor : List.of(y, gradInput, xTensor, gradTensor)) {
            tensor.close();
        }
        assertEquals(0, fixture.backend.memory().live(MemoryTag.CONTEXT));
    }

    private void assertGradient(double[] at, int roundings, Tensor actual, ToDoubleFunction<double[]> f) {
        float[] gradient = fixture.backend.readFloats(actual);
        double[] expected = GradientCheck.centralDifferences(at, f);
        double worst = GradientCheck.worst(expected, gradient, roundings);
        assertTrue(worst < 1, actual.label() + " is off by " + worst + " times the bound");
        gradient[gradient.length / 2] += 1e-3f; // a wrong gradient must be seen
        assertTrue(GradientCheck.worst(expected, gradient, roundings) > 1);
    }

    @Test
    void linear() {
        Parameter weight = fixture.weight("w", 7, 5);
        QuantizedLinear layer = fixture.linear("layer", weight);
        check(
                5,
                7 + 2,
                layer::forward,
                layer::backward,
                List.of(weight),
                (x, w) -> DoubleModel.linear(x, w.getFirst(), 5));
    }

    @Test
    void rmsNorm() {
        Parameter weight = fixture.norm("w", WIDTH);
        RmsNorm layer = new RmsNorm(fixture.backend, weight);
        // two sums over the width, one over the tokens, and eight single operations
        check(
                WIDTH,
                2 * WIDTH + TOKENS + 8,
                layer::forward,
                layer::backward,
                List.of(weight),
                (x, w) -> DoubleModel.rmsNorm(x, w.getFirst()));
    }

    private SelfAttention selfAttention(SelfAttention.Kind kind, boolean planned, Parameter qkv, Parameter out) {
        Attention attention = planned
                ? fixture.plannedAttention("fp32", new AttentionShape(BATCH, SEQUENCE, HEADS, SIZE))
                : new FloatAttention(fixture.backend);
        return new SelfAttention(
                fixture.backend, HEADS, kind, fixture.linear("qkv", qkv), attention, fixture.linear("out", out));
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void selfAttention(boolean planned) {
        Parameter qkv = fixture.weight("qkv", 3 * WIDTH, WIDTH);
        Parameter out = fixture.weight("out", WIDTH, WIDTH);
        SelfAttention layer = selfAttention(SelfAttention.Kind.DECODER, planned, qkv, out);
        check(
                WIDTH,
                attentionRoundings(),
                (scope, x) -> layer.forward(scope, x, BATCH),
                (scope, gradient) -> layer.backward(scope, gradient, LayerFixture.NEVER),
                List.of(qkv, out),
                (x, w) -> attention(x, w.get(0), w.get(1)));
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void selfAttentionWithoutMask(boolean planned) {
        Parameter qkv = fixture.weight("qkv", 3 * WIDTH, WIDTH);
        Parameter out = fixture.weight("out", WIDTH, WIDTH);
        SelfAttention layer = selfAttention(SelfAttention.Kind.ENCODER, planned, qkv, out);
        check(
                WIDTH,
                attentionRoundings(),
                (scope, x) -> layer.forward(scope, x, BATCH),
                (scope, gradient) -> layer.backward(scope, gradient, LayerFixture.NEVER),
                List.of(qkv, out),
                (x, w) -> {
                    double[] packed = DoubleModel.linear(x, w.get(0), WIDTH);
                    double[] mixed = DoubleModel.attentionToAll(packed, BATCH, SEQUENCE, HEADS, SIZE);
                    return DoubleModel.linear(mixed, w.get(1), WIDTH);
                });
    }

    /** Forward: two products, rotation 3, scores, softmax (exponential 4), mix; the backward pass has twice as many. */
    private static int attentionRoundings() {
        return 3 * (2 * WIDTH + 3 + SIZE + 4 + 2 * SEQUENCE) + 2 * WIDTH;
    }

    private static double[] attention(double[] x, double[] qkv, double[] out) {
        double[] packed = DoubleModel.linear(x, qkv, WIDTH);
        return DoubleModel.linear(DoubleModel.attention(packed, BATCH, SEQUENCE, HEADS, SIZE), out, WIDTH);
    }

    @Test
    void swiGluMlp() {
        Parameter gateUp = fixture.weight("gateUp", 2 * HIDDEN, WIDTH);
        Parameter down = fixture.weight("down", WIDTH, HIDDEN);
        Mlp layer = new Mlp(
                fixture.backend, MlpKind.SWIGLU, fixture.linear("gateUp", gateUp), fixture.linear("down", down));
        check(
                WIDTH,
                mlpRoundings(),
                layer::forward,
                (scope, gradient) -> layer.backward(scope, gradient, LayerFixture.NEVER),
                List.of(gateUp, down),
                (x, w) -> mlp(x, w.get(0), w.get(1)));
    }

    @Test
    void reluMlp() {
        Parameter up = fixture.weight("up", HIDDEN, WIDTH);
        Parameter down = fixture.weight("down", WIDTH, HIDDEN);
        Mlp layer = new Mlp(fixture.backend, MlpKind.RELU, fixture.linear("up", up), fixture.linear("down", down));
        // two products forward, and twice as many backward; ReLU rounds nothing. No input of it is as near to its
        // corner
        // as the difference's step: the values would differ by half of a slope, far more than the bound.
        check(
                WIDTH,
                3 * (WIDTH + HIDDEN) + HIDDEN,
                layer::forward,
                (scope, gradient) -> layer.backward(scope, gradient, LayerFixture.NEVER),
                List.of(up, down),
                (x, w) ->
                        DoubleModel.linear(DoubleModel.relu(DoubleModel.linear(x, w.get(0), WIDTH)), w.get(1), HIDDEN));
    }

    /** Forward: two products and SwiGLU (exponential 4, and 4 more); the backward pass has twice as many. */
    private static int mlpRoundings() {
        return 3 * (WIDTH + HIDDEN + 8) + HIDDEN;
    }

    private static double[] mlp(double[] x, double[] gateUp, double[] down) {
        return DoubleModel.linear(DoubleModel.swiGlu(DoubleModel.linear(x, gateUp, WIDTH), HIDDEN), down, HIDDEN);
    }

    @Test
    void block() {
        Parameter firstNorm = fixture.norm("norm1", WIDTH);
        Parameter qkv = fixture.weight("qkv", 3 * WIDTH, WIDTH);
        Parameter out = fixture.weight("out", WIDTH, WIDTH);
        Parameter secondNorm = fixture.norm("norm2", WIDTH);
        Parameter gateUp = fixture.weight("gateUp", 2 * HIDDEN, WIDTH);
        Parameter down = fixture.weight("down", WIDTH, HIDDEN);
        Block layer = new Block(
                fixture.backend,
                new RmsNorm(fixture.backend, firstNorm),
                selfAttention(SelfAttention.Kind.DECODER, false, qkv, out),
                new RmsNorm(fixture.backend, secondNorm),
                new Mlp(
                        fixture.backend,
                        MlpKind.SWIGLU,
                        fixture.linear("gateUp", gateUp),
                        fixture.linear("down", down)));
        check(
                WIDTH,
                attentionRoundings() + mlpRoundings() + 2 * (2 * WIDTH + TOKENS + 8) + 4,
                (scope, x) -> layer.forward(scope, x, BATCH),
                (scope, gradient) -> {
                    layer.backward(scope, gradient);
                    return gradient;
                },
                List.of(firstNorm, qkv, out, secondNorm, gateUp, down),
                (x, w) -> {
                    double[] middle =
                            DoubleModel.add(x, attention(DoubleModel.rmsNorm(x, w.get(0)), w.get(1), w.get(2)));
                    return DoubleModel.add(middle, mlp(DoubleModel.rmsNorm(middle, w.get(3)), w.get(4), w.get(5)));
                });
    }
}
