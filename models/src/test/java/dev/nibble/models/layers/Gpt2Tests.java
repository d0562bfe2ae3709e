package dev.nibble.models.layers;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

class Gpt2Tests {
    private static final int BATCH = 2;
    private static final int SEQUENCE = 3;
    private static final int TOKENS = BATCH * SEQUENCE;
    private static final int POSITIONS = 5; // more than a sequence has
    private static final int HIDDEN = 5;
    private static final DecoderShape SHAPE = DecoderShape.gpt2(11, POSITIONS, 8, 2, HIDDEN, 2);
    private static final DecoderShape EXACT = withMlp(MlpKind.GELU);

    // of a path through the model and back, as in EncoderTests: each block has products of 3·8 and 5 terms, two norms,
    // attention over 3 keys, GELU; the first sum, the last norm, the head and the loss
    private static final int ROUNDINGS =
            3 * (2 * (3 * 8 + HIDDEN + 2 * (2 * 8 + 10) + 4 + 12 + 16 + 8) + 1 + 2 * 8 + 10 + 8 + 11 + TOKENS);
    private static final double GELU_ERROR = 1.5e-7; // of Φ, see ReferenceGelu, in each block, forward and backward
    private static final double BOUND = ROUNDINGS * GradientCheck.UNIT_ROUNDOFF + 4 * SHAPE.layers() * GELU_ERROR;

    private static DecoderShape withMlp(MlpKind mlp) {
        return new DecoderShape(
                DecoderStyle.GPT2,
                mlp,
                SHAPE.vocabulary(),
                SHAPE.width(),
                SHAPE.heads(),
                SHAPE.hidden(),
                SHAPE.layers(),
                true,
                SHAPE.positions(),
                OutlierSpec.NONE,
                OptionalInt.empty());
    }

    static Stream<DecoderShape> shapes() {
        return Stream.of(SHAPE, EXACT);
    }

    private static Decoder model(LayerFixture fixture, DecoderShape shape, String quantizer) {
        Decoder model = new Decoder(
                fixture.backend,
                shape,
                5,
                layer -> LayerFixture.quantizer(layer.site().name().equals("head") ? "fp32" : quantizer, layer));
        for (Parameter parameter : model.parameters()) { // biases, too, so that every gradient counts
            Shape size = parameter.value().shape();
            float[] values = fixture.uniform(size.elements(), size.rank() == 1 ? 1 : Math.sqrt(3.0 / size.cols()));
            fixture.backend.write(parameter.value(), values);
        }
        return model;
    }

    private static int[] places(int tokens) {
        int[] places = new int[tokens];
        for (int i = 0; i < tokens; i++) {
            places[i] = i % SEQUENCE;
        }
        return places;
    }

    private static Map<String, double[]> weights(LayerFixture fixture, Decoder model) {
        Map<String, double[]> weights = new HashMap<>();
        model.parameters().forEach(p -> weights.put(p.name(), fixture.values(p)));
        return weights;
    }

    private static float step(LayerFixture fixture, Decoder model, int[] ids, int[] targets) {
        try (Tensor idTensor = fixture.tensor(ids);
                Tensor placeTensor = fixture.tensor(places(ids.length));
                Tensor targetTensor = fixture.tensor(targets);
                Tensor loss = fixture.tensor(Shape.of(1), new float[1])) {
            try (StepScope scope = fixture.backend.beginStep(StepContext.train(0, 0.1f));
                    Classifier classifier = model.classifier(LogitChunks.DEFAULT);
                    Tensor hidden = model.hidden(scope, idTensor, placeTensor, BATCH)) {
                classifier.forward(scope, hidden, targetTensor, loss, 1);
                model.backward(scope, idTensor, placeTensor, classifier.backward(scope, model::hiddenAgain));
            }
            model.linears().forEach(QuantizedLayer::releaseWeight);
            return fixture.backend.readFloats(loss)[0];
        }
    }

    @ParameterizedTest
    @MethodSource("shapes")
    void logitsAreThoseOfThePlainModel(DecoderShape shape) {
        try (LayerFixture fixture = new LayerFixture(31);
                Decoder model = model(fixture, shape, "fp32");
                Tensor places = fixture.tensor(places(TOKENS))) {
            int[] ids = fixture.tokens(TOKENS, SHAPE.vocabulary());
            DoubleGpt2 plain = new DoubleGpt2(shape, weights(fixture, model));
            float[] logits;
            try (Tensor idTensor = fixture.tensor(ids)) {
                Tensor kept;
                try (StepScope scope = fixture.backend.beginStep(StepContext.eval(0))) {
                    kept = model.forward(scope, idTensor, places, BATCH).share();
                }
                logits = fixture.backend.readFloats(kept);
                kept.close();
            }
            double largest = 0;
            double error = 0;
            for (int start = 0; start < TOKENS; start += SEQUENCE) {
                double[][] expected = plain.logits(Arrays.copyOfRange(ids, start, start + SEQUENCE));
                for (int t = 0; t < SEQUENCE; t++) {
                    for (int v = 0; v < SHAPE.vocabulary(); v++) {
                        largest = Math.max(largest, Math.abs(expected[t][v]));
                        error = Math.max(
                                error, Math.abs(expected[t][v] - logits[(start + t) * SHAPE.vocabulary() + v]));
                    }
                }
            }
            assertTrue(largest > 1, "the largest logit is " + largest);
            assertTrue(error <= BOUND * largest, error + " is more than " + BOUND * largest);
        }
    }

    @ParameterizedTest
    @MethodSource("shapes")
    void everyGradientIsTheDerivativeOfTheLoss(DecoderShape shape) {
        try (LayerFixture fixture = new LayerFixture(32);
                Decoder model = model(fixture, shape, "fp32")) {
            int[] ids = fixture.tokens(TOKENS, SHAPE.vocabulary());
            int[] targets = fixture.tokens(TOKENS, SHAPE.vocabulary());
            Map<String, double[]> weights = weights(fixture, model);
            double expectedLoss = new DoubleGpt2(shape, weights).loss(ids, targets, SEQUENCE);
            assertEquals(expectedLoss, step(fixture, model, ids, targets), BOUND * expectedLoss);
            assertEquals(2 + 12 * SHAPE.layers() + 2, model.parameters().size());
            int roundings = (int) (BOUND / GradientCheck.UNIT_ROUNDOFF);
            for (Parameter parameter : model.parameters()) {
                double[] expected = GradientCheck.centralDifferences(weights.get(parameter.name()), v -> {
                    Map<String, double[]> changed = new HashMap<>(weights);
                    changed.put(parameter.name(), v);
                    return new DoubleGpt2(shape, changed).loss(ids, targets, SEQUENCE);
                });
                float[] gradient = fixture.gradient(parameter);
                double worst = GradientCheck.worst(expected, gradient, roundings);
                assertTrue(worst < 1, parameter.name() + " is off by " + worst + " times the bound");
                gradient[gradient.length / 2] += 1e-3f; // a wrong gradient must be seen
                assertTrue(GradientCheck.worst(expected, gradient, roundings) > 1, parameter.name());
            }
            assertEquals(0, fixture.backend.memory().live(MemoryTag.CONTEXT));
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"bf16", "int4", "luq", "int8-row", "int8-block", "int8-fallback", "fp8"})
    void everyQuantizerTrainsIt(String quantizer) {
        try (LayerFixture fixture = new LayerFixture(33);
                Decoder model = model(fixture, SHAPE, quantizer)) {
            float loss = step(
                    fixture,
                    model,
                    fixture.tokens(TOKENS, SHAPE.vocabulary()),
                    fixture.tokens(TOKENS, SHAPE.vocabulary()));
            assertTrue(Float.isFinite(loss) && loss > 0, "the loss is " + loss);
            for (Parameter parameter : model.parameters()) {
                boolean any = false;
                for (float value : fixture.gradient(parameter)) {
                    assertTrue(Float.isFinite(value), parameter.name());
                    any |= value != 0;
                }
                assertTrue(any, parameter.name() + " has no gradient");
            }
            assertEquals(0, fixture.backend.memory().live(MemoryTag.CONTEXT));
        }
    }

    /** Less than the bounds above see: the forms move this loss by 2.6e-5, FP32 moves it by some 1e-7. */
    @ParameterizedTest
    @MethodSource("shapes")
    void theFormOfGeluIsThatOfTheShape(DecoderShape shape) {
        try (LayerFixture fixture = new LayerFixture(35);
                Decoder model = model(fixture, shape, "fp32")) {
            int[] ids = fixture.tokens(TOKENS, SHAPE.vocabulary());
            Map<String, double[]> weights = weights(fixture, model);
            double own = new DoubleGpt2(shape, weights).loss(ids, ids, SEQUENCE);
            double other = new DoubleGpt2(shape.equals(SHAPE) ? EXACT : SHAPE, weights).loss(ids, ids, SEQUENCE);
            float loss = step(fixture, model, ids, ids);
            assertTrue(Math.abs(loss - own) < 0.1 * Math.abs(own - other), loss + ", " + own + " and " + other);
        }
    }

    @Test
    void parametersAreThoseThatAreCounted() {
        try (LayerFixture fixture = new LayerFixture(34);
                Decoder model = model(fixture, SHAPE, "fp32")) {
            assertEquals(
                    SHAPE.parameters(),
                    model.parameters().stream()
                            .mapToLong(p -> p.value().shape().elements())
                            .sum());
            assertEquals(
                    List.of("blocks.0.attn.qkv", "blocks.0.attn.out", "blocks.0.mlp.up", "blocks.0.mlp.down"),
                    SHAPE.linears(0).stream().map(l -> l.site().name()).toList());
            // 124,439,808 are in the smallest of Radford et al.
            assertEquals(
                    124_439_808L,
                    DecoderShape.gpt2(50257, 1024, 768, 12, 3072, 12).parameters());
        }
    }

    @Test
    void whatNoGpt2HasIsRefused() {
        assertThrows(IllegalArgumentException.class, () -> DecoderShape.gpt2(11, 0, 8, 2, 5, 2));
        IllegalArgumentException e = assertThrows(
                IllegalArgumentException.class,
                () -> new DecoderShape(
                        DecoderStyle.GPT2,
                        MlpKind.GELU,
                        11,
                        8,
                        2,
                        5,
                        2,
                        false,
                        4,
                        OutlierSpec.NONE,
                        SHAPE.quantizedSequence()));
        assertTrue(e.getMessage().contains("head"), e.getMessage());
        e = assertThrows(IllegalArgumentException.class, () -> withMlp(MlpKind.RELU));
        assertEquals("model: the feed-forward layers have ReLU, but those of a GPT-2 have GELU", e.getMessage());
    }
}
