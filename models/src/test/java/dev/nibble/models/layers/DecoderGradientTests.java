package dev.nibble.models.layers;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class DecoderGradientTests {
    private static final int BATCH = 2;
    private static final int SEQUENCE = 3;
    private static final int TOKENS = BATCH * SEQUENCE;
    private static final int HEADS = 2;
    private static final int SIZE = 4;
    private static final int WIDTH = HEADS * SIZE;
    private static final int HIDDEN = 5;
    private static final int VOCABULARY = 11;
    private static final int LAYERS = 2;

    // one block's forward pass: products, two norms, attention, SwiGLU, two residual sums; see LayerGradientTests
    private static final int BLOCK_ROUNDINGS =
            (3 * WIDTH + HIDDEN) + 2 * (2 * WIDTH + 8) + (3 + SIZE + 4 + 2 * SEQUENCE) + 8 + 2;
    // with the last norm, the head and the loss; the backward pass has twice as many
    private static final int ROUNDINGS = 3 * (LAYERS * BLOCK_ROUNDINGS + 3 * WIDTH + 8 + VOCABULARY + TOKENS + 8);

    private static DecoderShape shape(boolean tied) {
        return new DecoderShape(VOCABULARY, WIDTH, HEADS, HIDDEN, LAYERS, tied);
    }

    private static Decoder model(LayerFixture fixture, boolean tied) {
        Decoder model = new Decoder(fixture.backend, shape(tied), 5, layer -> LayerFixture.quantizer("fp32", layer));
        for (Parameter parameter : model.parameters()) { // larger than first weights, so that every gradient counts
            Shape shape = parameter.value().shape();
            float[] values = fixture.uniform(shape.elements(), shape.rank() == 1 ? 1 : Math.sqrt(3.0 / shape.cols()));
            fixture.backend.write(parameter.value(), values);
        }
        return model;
    }

    private static double loss(Map<String, double[]> w, int[] ids, int[] targets, boolean tied) {
        double[] x = DoubleModel.embedding(ids, w.get("embedding.weight"), WIDTH);
        for (int block = 0; block < LAYERS; block++) {
            String prefix = "blocks." + block + ".";
            double[] packed = DoubleModel.linear(
                    DoubleModel.rmsNorm(x, w.get(prefix + "attn.norm.weight")),
                    w.get(prefix + "attn.qkv.weight"),
                    WIDTH);
            double[] mixed = DoubleModel.attention(packed, BATCH, SEQUENCE, HEADS, SIZE);
            x = DoubleModel.add(x, DoubleModel.linear(mixed, w.get(prefix + "attn.out.weight"), WIDTH));
            double[] both = DoubleModel.linear(
                    DoubleModel.rmsNorm(x, w.get(prefix + "mlp.norm.weight")),
                    w.get(prefix + "mlp.gateUp.weight"),
                    WIDTH);
            x = DoubleModel.add(
                    x, DoubleModel.linear(DoubleModel.swiGlu(both, HIDDEN), w.get(prefix + "mlp.down.weight"), HIDDEN));
        }
        double[] normed = DoubleModel.rmsNorm(x, w.get("norm.weight"));
        double[] logits = DoubleModel.linear(normed, w.get(tied ? "embedding.weight" : "head.weight"), WIDTH);
        return DoubleModel.crossEntropy(logits, targets);
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void everyGradientIsTheDerivativeOfTheLoss(boolean tied) {
        try (LayerFixture fixture = new LayerFixture(21);
                Decoder model = model(fixture, tied)) {
            int[] ids = fixture.tokens(TOKENS, VOCABULARY);
            int[] targets = fixture.tokens(TOKENS, VOCABULARY);
            Map<String, double[]> weights = new HashMap<>();
            model.parameters().forEach(p -> weights.put(p.name(), fixture.values(p)));
            float loss = step(fixture, model, ids, targets, BATCH, 1);
            double expectedLoss = loss(weights, ids, targets, tied);
            assertEquals(expectedLoss, loss, ROUNDINGS * GradientCheck.UNIT_ROUNDOFF * expectedLoss);
            for (Parameter parameter : model.parameters()) {
                double[] expected = GradientCheck.centralDifferences(weights.get(parameter.name()), v -> {
                    Map<String, double[]> changed = new HashMap<>(weights);
                    changed.put(parameter.name(), v);
                    return loss(changed, ids, targets, tied);
                });
                float[] gradient = fixture.gradient(parameter);
                double worst = GradientCheck.worst(expected, gradient, ROUNDINGS);
                assertTrue(worst < 1, parameter.name() + " is off by " + worst + " times the bound");
                gradient[gradient.length / 2] += 1e-3f; // a wrong gradient must be seen
                assertTrue(GradientCheck.worst(expected, gradient, ROUNDINGS) > 1, parameter.name());
            }
            assertEquals(0, fixture.backend.memory().live(MemoryTag.CONTEXT));
        }
    }

    /** Enqueues a forward and backward pass, adding to the gradients. */
    private static float step(LayerFixture fixture, Decoder model, int[] ids, int[] targets, int batch, float weight) {
        try (Tensor idTensor = fixture.tensor(ids);
                Tensor targetTensor = fixture.tensor(targets);
                Tensor loss = fixture.tensor(Shape.of(1), new float[1])) {
            try (StepScope scope = fixture.backend.beginStep(StepContext.train(0, 0.1f));
                    Classifier classifier = model.classifier(LogitChunks.DEFAULT);
                    Tensor hidden = model.hidden(scope, idTensor, idTensor, batch)) {
                classifier.forward(scope, hidden, targetTensor, loss, weight);
                model.backward(scope, idTensor, idTensor, classifier.backward(scope, model::hiddenAgain));
            }
            model.linears().forEach(QuantizedLayer::releaseWeight);
            return fixture.backend.readFloats(loss)[0];
        }
    }

    @Test
    void halvesOfABatchAddUpToItsGradient() {
        try (LayerFixture fixture = new LayerFixture(22);
                Decoder model = model(fixture, true)) {
            int[] ids = fixture.tokens(TOKENS, VOCABULARY);
            int[] targets = fixture.tokens(TOKENS, VOCABULARY);
            step(fixture, model, ids, targets, BATCH, 1);
            Map<String, float[]> whole = new HashMap<>();
            for (Parameter parameter : model.parameters()) {
                whole.put(parameter.name(), fixture.gradient(parameter));
                fixture.backend.write(parameter.gradient(), new float[whole.get(parameter.name()).length]);
            }
            for (int half = 0; half < 2; half++) {
                int from = half * SEQUENCE;
                step(
                        fixture,
                        model,
                        Arrays.copyOfRange(ids, from, from + SEQUENCE),
                        Arrays.copyOfRange(targets, from, from + SEQUENCE),
                        1,
                        0.5f);
            }
            for (Parameter parameter : model.parameters()) {
                double[] expected = LayerFixture.doubles(whole.get(parameter.name()));
                // both sides have rounding errors
                assertTrue(
                        GradientCheck.worst(expected, fixture.gradient(parameter), 2 * ROUNDINGS) < 1,
                        parameter.name());
            }
        }
    }

    @Test
    void evaluationGivesTheSameLogitsAndKeepsNothing() {
        try (LayerFixture fixture = new LayerFixture(23);
                Decoder model = model(fixture, false);
                Tensor ids = fixture.tensor(fixture.tokens(TOKENS, VOCABULARY))) {
            Tensor evaluated;
            Tensor trained;
            try (StepScope scope = fixture.backend.beginStep(StepContext.eval(0))) {
                evaluated = model.forward(scope, ids, ids, BATCH).share();
                assertEquals(0, fixture.backend.memory().live(MemoryTag.CONTEXT));
            }
            try (StepScope scope = fixture.backend.beginStep(StepContext.train(0, 0.1f))) {
                trained = model.forward(scope, ids, ids, BATCH).share();
                assertTrue(fixture.backend.memory().live(MemoryTag.CONTEXT) > 0);
            }
            assertEquals(0, Arrays.compare(fixture.backend.readFloats(evaluated), fixture.backend.readFloats(trained)));
        }
    }
}
