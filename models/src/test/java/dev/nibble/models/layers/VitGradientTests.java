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
import java.util.OptionalInt;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class VitGradientTests {
    private static final int IMAGES = 3;
    private static final int TOKENS = 4; // of an image
    private static final int PATCH = 2;
    private static final int PIXELS = PATCH * PATCH;
    private static final int HEADS = 2;
    private static final int SIZE = 4;
    private static final int WIDTH = HEADS * SIZE;
    private static final int HIDDEN = 5;
    private static final int CLASSES = 3;
    private static final int LAYERS = 2;

    // one block's forward pass: products, two norms, attention, SwiGLU (or GELU, whose error is less than 3 roundings),
    // two
    // residual sums; see LayerGradientTests
    private static final int BLOCK_ROUNDINGS =
            (3 * WIDTH + HIDDEN) + 2 * (2 * WIDTH + 8) + (SIZE + 4 + 2 * TOKENS) + 8 + 2;
    // with the patches, positions, mean, last norm, head and loss; the backward pass has twice as many, and the
    // gradients
    // of weights are sums over all tokens
    private static final int ROUNDINGS =
            3 * (PIXELS + 1 + LAYERS * BLOCK_ROUNDINGS + TOKENS + 1 + 2 * WIDTH + 8 + WIDTH + CLASSES + IMAGES + 8)
                    + IMAGES * TOKENS;

    private static Vit model(LayerFixture fixture, MlpKind mlp, VitStyle style) {
        VitShape shape = new VitShape(PATCH, CLASSES, WIDTH, HEADS, HIDDEN, LAYERS, mlp, style, OptionalInt.empty());
        Vit model = new Vit(fixture.backend, shape, TOKENS, 5, layer -> LayerFixture.quantizer("fp32", layer));
        for (Parameter parameter : model.parameters()) { // larger than first weights, so that every gradient counts
            Shape size = parameter.value().shape();
            float[] values = fixture.uniform(size.elements(), size.rank() == 1 ? 1 : Math.sqrt(3.0 / size.cols()));
            fixture.backend.write(parameter.value(), values);
        }
        return model;
    }

    private static int[] places() {
        int[] places = new int[IMAGES * TOKENS];
        for (int i = 0; i < places.length; i++) {
            places[i] = i % TOKENS;
        }
        return places;
    }

    /** Y = X · Wᵀ, and a bias if the layer has one. */
    private static double[] linear(Map<String, double[]> w, String name, double[] x, int in) {
        double[] y = DoubleModel.linear(x, w.get(name + ".weight"), in);
        double[] bias = w.getOrDefault(name + ".bias", new double[1]);
        for (int i = 0; i < y.length; i++) {
            y[i] += bias[i % bias.length];
        }
        return y;
    }

    /** RMSNorm; LayerNorm, which is that of a row without its mean, if there is a bias. */
    private static double[] norm(Map<String, double[]> w, String name, double[] x) {
        double[] weight = w.get(name + ".weight");
        if (!w.containsKey(name + ".bias")) {
            return DoubleModel.rmsNorm(x, weight);
        }
        double[] centered = x.clone();
        for (int row = 0; row < x.length; row += WIDTH) {
            double mean = Arrays.stream(x, row, row + WIDTH).average().orElseThrow();
            for (int i = 0; i < WIDTH; i++) {
                centered[row + i] -= mean;
            }
        }
        double[] y = DoubleModel.rmsNorm(centered, weight);
        for (int i = 0; i < y.length; i++) {
            y[i] += w.get(name + ".bias")[i % WIDTH];
        }
        return y;
    }

    private static double loss(Map<String, double[]> w, double[] patches, int[] targets, MlpKind mlp) {
        double[] x = DoubleModel.add(
                linear(w, "patch", patches, PIXELS), DoubleModel.embedding(places(), w.get("positions.weight"), WIDTH));
        for (int block = 0; block < LAYERS; block++) {
            String prefix = "blocks." + block + ".";
            double[] packed = linear(w, prefix + "attn.qkv", norm(w, prefix + "attn.norm", x), WIDTH);
            double[] mixed = DoubleModel.attentionToAll(packed, IMAGES, TOKENS, HEADS, SIZE);
            x = DoubleModel.add(x, linear(w, prefix + "attn.out", mixed, WIDTH));
            double[] raised = linear(w, prefix + "mlp." + mlp.firstLayer(), norm(w, prefix + "mlp.norm", x), WIDTH);
            double[] hidden = switch (mlp) {
                case SWIGLU -> DoubleModel.swiGlu(raised, HIDDEN);
                case RELU -> DoubleModel.relu(raised);
                case GELU -> Arrays.stream(raised).map(DoubleModel::gelu).toArray();
                case GELU_TANH ->
                    Arrays.stream(raised).map(DoubleModel::geluTanh).toArray();
            };
            x = DoubleModel.add(x, linear(w, prefix + "mlp.down", hidden, HIDDEN));
        }
        double[] normed = norm(w, "norm", DoubleModel.meanRows(x, TOKENS, WIDTH));
        return DoubleModel.crossEntropy(linear(w, "head", normed, WIDTH), targets);
    }

    @ParameterizedTest
    @CsvSource({"SWIGLU,RMS", "RELU,RMS", "GELU,RMS", "GELU_TANH,RMS", "GELU,DEIT"})
    void everyGradientIsTheDerivativeOfTheLoss(MlpKind mlp, VitStyle style) {
        try (LayerFixture fixture = new LayerFixture(31);
                Vit model = model(fixture, mlp, style)) {
            float[] patches = fixture.uniform(IMAGES * TOKENS * PIXELS, 1);
            int[] targets = fixture.tokens(IMAGES, CLASSES);
            double[] exact = LayerFixture.doubles(patches);
            Map<String, double[]> weights = new HashMap<>();
            model.parameters().forEach(p -> weights.put(p.name(), fixture.values(p)));
            float loss = step(fixture, model, patches, targets);
            double expectedLoss = loss(weights, exact, targets, mlp);
            assertEquals(expectedLoss, loss, ROUNDINGS * GradientCheck.UNIT_ROUNDOFF * expectedLoss);
            int biases = style == VitStyle.DEIT ? 2 + 6 * LAYERS + 1 : 0;
            assertEquals(3 + 6 * LAYERS + 1 + biases, model.parameters().size());
            for (Parameter parameter : model.parameters()) {
                double[] expected = GradientCheck.centralDifferences(weights.get(parameter.name()), v -> {
                    Map<String, double[]> changed = new HashMap<>(weights);
                    changed.put(parameter.name(), v);
                    return loss(changed, exact, targets, mlp);
                });
                float[] gradient = fixture.gradient(parameter);
                // LayerNorm and biases add sums over a row and a sum each to a block's path, forward and backward
                int roundings = ROUNDINGS + (style == VitStyle.DEIT ? 3 * (2 * LAYERS + 1) * (2 * WIDTH + 4) : 0);
                double worst = GradientCheck.worst(expected, gradient, roundings);
                assertTrue(worst < 1, parameter.name() + " is off by " + worst + " times the bound");
                gradient[gradient.length / 2] += 1e-3f; // a wrong gradient must be seen
                assertTrue(GradientCheck.worst(expected, gradient, ROUNDINGS) > 1, parameter.name());
            }
            assertEquals(0, fixture.backend.memory().live(MemoryTag.CONTEXT));
        }
    }

    private static float step(LayerFixture fixture, Vit model, float[] patches, int[] targets) {
        try (Tensor patchTensor = fixture.tensor(Shape.of(IMAGES * TOKENS, PIXELS), patches);
                Tensor placeTensor = fixture.tensor(places());
                Tensor targetTensor = fixture.tensor(targets);
                Tensor loss = fixture.tensor(Shape.of(1), new float[1])) {
            try (StepScope scope = fixture.backend.beginStep(StepContext.train(0, 0.1f));
                    Tensor logits = model.forward(scope, patchTensor, placeTensor)) {
                fixture.backend.neural().crossEntropy(scope, logits, targetTensor, loss, 1, true);
                model.backward(scope, patchTensor, placeTensor, logits);
            }
            model.linears().forEach(QuantizedLayer::releaseWeight);
            return fixture.backend.readFloats(loss)[0];
        }
    }

    @Test
    void evaluationGivesTheSameLogitsAndKeepsNothing() {
        try (LayerFixture fixture = new LayerFixture(32);
                Vit model = model(fixture, MlpKind.RELU, VitStyle.RMS);
                Tensor patches = fixture.tensor(
                        Shape.of(IMAGES * TOKENS, PIXELS), fixture.uniform(IMAGES * TOKENS * PIXELS, 1));
                Tensor places = fixture.tensor(places())) {
            Tensor evaluated;
            Tensor trained;
            try (StepScope scope = fixture.backend.beginStep(StepContext.eval(0))) {
                evaluated = model.forward(scope, patches, places).share();
                assertEquals(0, fixture.backend.memory().live(MemoryTag.CONTEXT));
            }
            try (StepScope scope = fixture.backend.beginStep(StepContext.train(0, 0.1f))) {
                trained = model.forward(scope, patches, places).share();
                assertTrue(fixture.backend.memory().live(MemoryTag.CONTEXT) > 0);
            }
            assertEquals(0, Arrays.compare(fixture.backend.readFloats(evaluated), fixture.backend.readFloats(trained)));
        }
    }
}
