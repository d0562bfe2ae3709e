package dev.nibble.models.layers;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.PlanRequest;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.NoSuchElementException;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The head with its loss, some tokens at a time, beside all at once. */
class ClassifierTests {
    private static final double U = 0x1p-24;
    private static final int WIDTH = 24;
    private static final int VOCABULARY = 67;
    private static final LogitChunks SMALL = new LogitChunks(128 * VOCABULARY);
    private static final float WEIGHT = 0.3f; // of a micro-batch

    /** What a step leaves. */
    private record Result(float loss, float[] gradInput, float[] gradWeight) {}

    /** A head with its input and targets. */
    private static final class Rig implements AutoCloseable {
        final LayerFixture fixture = new LayerFixture(8);
        final int tokens;
        final Parameter weight = fixture.weight("head.weight", VOCABULARY, WIDTH);
        final QuantizedLinear head;
        final float[] x; // [tokens, WIDTH]
        final int[] targets; // [tokens]

        Rig(String quantizer, int tokens) {
            this.tokens = tokens;
            head = fixture.linear("head", weight, quantizer);
            x = fixture.uniform((long) tokens * WIDTH, 2);
            targets = fixture.tokens(tokens, VOCABULARY);
        }

        /** A step with micro-batches, from a gradient that is not 0 before. */
        Result step(LogitChunks chunks, int microBatches) {
            float[] before = new float[VOCABULARY * WIDTH];
            Arrays.fill(before, 1e-3f);
            fixture.backend.write(weight.gradient(), before);
            float[] gradInput = {};
            float sum;
            try (Tensor input = fixture.tensor(Shape.of(tokens, WIDTH), x);
                    Tensor ids = fixture.tensor(targets);
                    Tensor loss = fixture.tensor(Shape.of(1), new float[1]);
                    Classifier classifier = new Classifier(fixture.backend, head, chunks)) {
                for (int micro = 0; micro < microBatches; micro++) {
                    Tensor kept;
                    StepContext context = new StepContext(0, micro, StepContext.Mode.TRAIN, 0);
                    try (StepScope scope = fixture.backend.beginStep(context)) {
                        classifier.forward(scope, input, ids, loss, WEIGHT);
                        try (Tensor gradient = classifier.backward(scope, _ -> input.share())) {
                            kept = gradient.share();
                        }
                    }
                    try (kept) {
                        gradInput = fixture.backend.readFloats(kept);
                    }
                }
                sum = fixture.backend.readFloats(loss)[0];
            }
            head.releaseWeight();
            assertEquals(0, fixture.backend.memory().live(MemoryTag.CONTEXT));
            return new Result(sum, gradInput, fixture.gradient(weight));
        }

        float evaluate(LogitChunks chunks) {
            try (Tensor input = fixture.tensor(Shape.of(tokens, WIDTH), x);
                    Tensor ids = fixture.tensor(targets);
                    Tensor loss = fixture.tensor(Shape.of(1), new float[1]);
                    Classifier classifier = new Classifier(fixture.backend, head, chunks)) {
                try (StepScope scope = fixture.backend.beginStep(StepContext.eval(0))) {
                    classifier.forward(scope, input, ids, loss, WEIGHT);
                    assertEquals(0, fixture.backend.memory().live(MemoryTag.CONTEXT));
                    assertThrows(NoSuchElementException.class, () -> classifier.backward(scope, LayerFixture.NEVER));
                }
                head.releaseWeight();
                return fixture.backend.readFloats(loss)[0];
            }
        }

        @Override
        public void close() {
            head.close();
            weight.close();
            fixture.close();
        }
    }

    /** In the order of docs/numerics.md: a product of each chunk, added to the gradient one after the other. */
    private static Result byHand(Rig rig, int rows, int microBatches) {
        float[] gradInput = new float[rig.tokens * WIDTH]; // [tokens, WIDTH]
        float[] before = new float[VOCABULARY * WIDTH];
        Arrays.fill(before, 1e-3f);
        rig.fixture.backend.write(rig.weight.gradient(), before);
        float loss;
        try (Tensor ids = rig.fixture.tensor(rig.targets);
                Tensor sum = rig.fixture.tensor(Shape.of(1), new float[1])) {
            for (int micro = 0; micro < microBatches; micro++) {
                for (int first = 0; first < rig.tokens; first += rows) {
                    int end = Math.min(first + rows, rig.tokens);
                    Tensor kept;
                    try (Tensor part = rig.fixture.tensor(
                                    Shape.of(end - first, WIDTH),
                                    Arrays.copyOfRange(rig.x, first * WIDTH, end * WIDTH));
                            StepScope scope = rig.fixture.backend.beginStep(StepContext.train(0, 0));
                            Tensor logits = rig.head.forward(scope, part)) {
                        rig.fixture.backend.neural().crossEntropy(scope, logits, ids, first, sum, WEIGHT, true);
                        try (Tensor gradient = rig.head.backward(scope, logits)) {
                            kept = gradient.share();
                        }
                    }
                    try (kept) {
                        float[] values = rig.fixture.backend.readFloats(kept);
                        System.arraycopy(values, 0, gradInput, first * WIDTH, values.length);
                    }
                }
            }
            rig.head.releaseWeight();
            loss = rig.fixture.backend.readFloats(sum)[0];
        }
        return new Result(loss, gradInput, rig.fixture.gradient(rig.weight));
    }

    @ParameterizedTest
    @CsvSource({"fp32, 129, 1", "fp32, 300, 2", "bf16, 300, 1", "fp32, 128, 1", "bf16, 1000, 2"})
    void gradientOfTheInputHasItsBitsAndThatOfTheWeightItsOrder(String quantizer, int tokens, int microBatches) {
        try (Rig rig = new Rig(quantizer, tokens)) {
            Result whole = rig.step(LogitChunks.DEFAULT, microBatches);
            Result chunks = rig.step(SMALL, microBatches);
            assertArrayEquals(whole.gradInput(), chunks.gradInput());

            int rows = SMALL.rows(tokens, VOCABULARY);
            Result byHand = byHand(rig, rows, microBatches);
            assertEquals(byHand.loss(), chunks.loss());
            assertArrayEquals(byHand.gradInput(), chunks.gradInput());
            assertArrayEquals(byHand.gradWeight(), chunks.gradWeight());

            // losses are positive: each part is rounded, and each sum of parts, in both
            int parts = microBatches * Math.ceilDiv(tokens, rows);
            assertEquals(whole.loss(), chunks.loss(), (2 * parts + 2.0 * microBatches) * U * whole.loss());
            assertWithinBound(rig, whole, chunks, parts, microBatches);
        }
    }

    /**
     * Both sums of tokens · microBatches products are within γ_n of the exact one, and of what was there before. |dLogits| is at most weight /
     * tokens, so Σ|dLogits·x| is at most the sum of |x| over tokens times that.
     */
    private static void assertWithinBound(Rig rig, Result whole, Result chunks, int parts, int microBatches) {
        double worst = 0;
        boolean differs = false;
        for (int out = 0; out < VOCABULARY; out++) {
            for (int in = 0; in < WIDTH; in++) {
                double sum = 1e-3;
                for (int token = 0; token < rig.tokens; token++) {
                    sum += microBatches * Math.abs(rig.x[token * WIDTH + in]) * (double) WEIGHT / rig.tokens;
                }
                int n = rig.tokens * microBatches + parts;
                double bound = 2 * n * U / (1 - n * U) * sum;
                int at = out * WIDTH + in;
                worst = Math.max(worst, Math.abs(whole.gradWeight()[at] - chunks.gradWeight()[at]) / bound);
                differs |= whole.gradWeight()[at] != chunks.gradWeight()[at];
            }
        }
        assertTrue(worst <= 1, "gradients of the weight differ by " + worst + " of the bound");
        assertEquals(parts > microBatches, differs, "another order of sums shows");
    }

    /** What the test above must be able to see: targets of another chunk, and a mean over the chunk. */
    @Test
    void wrongChunksAreSeen() {
        try (Rig rig = new Rig("fp32", 300)) {
            Result right = byHand(rig, 128, 1);
            assertFalse(Arrays.equals(right.gradWeight(), byHand(rig, 256, 1).gradWeight()));
            int[] targets = rig.targets.clone();
            System.arraycopy(targets, 0, rig.targets, 128, 128);
            assertFalse(Arrays.equals(right.gradInput(), byHand(rig, 128, 1).gradInput()));
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 13, 127, 128, 129, 385})
    void evaluationKeepsNothingAndHasTheLoss(int tokens) {
        try (Rig rig = new Rig("fp32", tokens)) {
            float whole = rig.evaluate(LogitChunks.DEFAULT);
            int parts = Math.ceilDiv(tokens, SMALL.rows(tokens, VOCABULARY));
            assertEquals(whole, rig.evaluate(SMALL), (parts > 1 ? 2 * parts + 2 : 0) * U * whole);
            assertEquals(whole, rig.step(LogitChunks.DEFAULT, 1).loss());
        }
    }

    /** Codes of rows depend on rows of other chunks, and draws on their place: such a head has one chunk. */
    @ParameterizedTest
    @CsvSource({
        "fp32, true",
        "bf16, true",
        "int8-row, false",
        "int8-fallback, false",
        "luq, false",
        "int4, false",
        "fp8, false"
    })
    void quantizedHeadsAreComputedAtOnce(String quantizer, boolean separates) {
        try (Rig rig = new Rig(quantizer, 300)) {
            LinearQuantizer plans = LayerFixture.quantizer(quantizer, rig.head.layer());
            assertEquals(separates, plans.plan(new PlanRequest(300, false)).separatesRows());
            String notice;
            try (Classifier classifier = new Classifier(rig.fixture.backend, rig.head, SMALL)) {
                notice = classifier.notice(300).orElseThrow();
            }
            if (separates) {
                assertEquals("the logits of 300 tokens are computed 128 tokens at a time", notice);
                return;
            }
            assertEquals(
                    "the logits of all 300 tokens are held at once, 0 MB in FP32: the quantizer of layer head needs them together",
                    notice);
            Result whole = rig.step(LogitChunks.DEFAULT, 1);
            Result again = rig.step(SMALL, 1);
            assertEquals(whole.loss(), again.loss());
            assertArrayEquals(whole.gradInput(), again.gradInput());
            assertArrayEquals(whole.gradWeight(), again.gradWeight());
        }
    }

    /** LUQ's fine-tuning has codes for W alone. */
    @Test
    void codesOfTheWeightDoNotMatter() {
        LinearLayer layer = new LinearLayer(new Site("head", 2), WIDTH, VOCABULARY);
        LinearQuantizer luq = LayerFixture.quantizer("luq", Map.of(), layer);
        assertTrue(luq.plan(new PlanRequest(300, false, PlanRequest.Phase.FINE_TUNE))
                .separatesRows());
    }

    @ParameterizedTest
    @CsvSource({
        "134217728, 2048, 256, 2048",
        "134217728, 2048, 50257, 2048", // preset text with the tokens of GPT-2
        "134217728, 16384, 50304, 2432",
        "268435456, 16384, 50304, 4096",
        "134217728, 2669, 50304, 1408",
        "134217728, 2668, 50304, 2668",
        "1, 128, 7, 128",
        "1, 129, 7, 128",
        "1, 1000, 2000000000, 128",
        "2147483647, 1000000000, 2, 1000000000",
        "3000, 20, 100, 20",
        "38400, 1000, 100, 384",
        "38399, 1000, 100, 256"
    })
    void sizesDecideAboutChunks(int elements, int tokens, int vocabulary, int rows) {
        assertEquals(rows, new LogitChunks(elements).rows(tokens, vocabulary));
    }

    @Test
    void chunksAreFewAndFit() {
        for (int elements : List.of(1000, 1 << 20, 1 << 27)) {
            for (int vocabulary : List.of(1, 7, 256, 50257)) {
                for (int tokens : List.of(1, 127, 128, 129, 5000, 16384, 100_000)) {
                    int rows = new LogitChunks(elements).rows(tokens, vocabulary);
                    boolean fits = (long) rows * vocabulary <= elements;
                    assertTrue(fits || rows <= 128, elements + " " + vocabulary + " " + tokens);
                    assertTrue(rows == tokens || (rows < tokens && rows % 128 == 0));
                    long fewest = Math.ceilDiv((long) tokens, Math.max(128, elements / vocabulary / 128 * 128));
                    assertTrue(rows == tokens || Math.ceilDiv((long) tokens, rows) <= fewest);
                }
            }
        }
    }

    @Test
    void nothingIsToldWhereAllFits() {
        try (Rig rig = new Rig("int8-row", 13);
                Classifier classifier = new Classifier(rig.fixture.backend, rig.head, SMALL)) {
            assertEquals(Optional.empty(), classifier.notice(13));
        }
    }

    @Test
    void noLogitsAreRefused() {
        assertEquals(
                "logits at once are 0, but must be 1 or more",
                assertThrows(IllegalArgumentException.class, () -> new LogitChunks(0))
                        .getMessage());
    }
}
