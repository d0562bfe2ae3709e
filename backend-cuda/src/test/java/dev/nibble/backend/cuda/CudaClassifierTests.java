package dev.nibble.backend.cuda;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.models.layers.Classifier;
import dev.nibble.models.layers.Decoder;
import dev.nibble.models.layers.DecoderShape;
import dev.nibble.models.layers.LogitChunks;
import dev.nibble.models.layers.QuantizedLayer;
import dev.nibble.spi.Backend;
import dev.nibble.spi.BackendOptions;
import dev.nibble.spi.MemoryLayout;
import dev.nibble.spi.Plugins;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import dev.nibble.testkit.data.Matrix;
import java.util.Arrays;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Training steps whose logits exist for some tokens at a time. */
class CudaClassifierTests {
    private static final int STEPS = 12; // graphs replay from the third on
    private static final TrainingStep.Size SMALL = new TrainingStep.Size("small", 1, 64, 2, 96, 300, 2, 150);
    private static final int TOKENS = 4200;
    private static final int WIDTH = 1280;
    private static final int VOCABULARY = 640;
    private static final LogitChunks CHUNKS = new LogitChunks(128 * SMALL.vocabulary()); // 128, 128 and 44 tokens

    private static float[] losses(Backend backend, TrainingStep.Size size, String quantizer, LogitChunks chunks) {
        float[] losses = new float[STEPS]; // [STEPS]
        try (TrainingStep step = new TrainingStep(backend, size, quantizer, chunks)) {
            for (int i = 0; i < STEPS; i++) {
                step.run();
                losses[i] = step.loss();
            }
        }
        return losses;
    }

    @Test
    void stepsInChunksHaveTheBitsOfThePlainCode() {
        float[] device;
        try (CudaBackend backend = Gpu.open()) {
            device = losses(backend, SMALL, "fp32", CHUNKS);
        }
        try (Backend plain = Plugins.openBackend("reference", BackendOptions.withSeed(0))) {
            assertEquals(128, CHUNKS.rows(SMALL.tokens(), SMALL.vocabulary()));
            float[] expected = losses(plain, SMALL, "fp32", CHUNKS);
            for (int i = 0; i < STEPS; i++) {
                assertEquals(expected[i], device[i], "step " + i);
            }
            assertNotEquals(expected[STEPS - 1], losses(plain, SMALL, "fp32", LogitChunks.DEFAULT)[STEPS - 1]);
        }
    }

    /** On tensor cores, too, whatever tiles a part has, as long as it has 128 tokens: here four of 896 and one of 616. */
    @ParameterizedTest
    @ValueSource(strings = {"fp32", "bf16"})
    void gradientOfTheInputHasTheBitsOfOnePart(String head) {
        DecoderShape shape = new DecoderShape(VOCABULARY, WIDTH, 20, 64, 1, false);
        try (CudaBackend backend = Gpu.open();
                Decoder model = new Decoder(backend, shape, 1, layer -> ProductTimes.quantizer(head, layer))) {
            float[] whole = gradInput(backend, model, LogitChunks.DEFAULT);
            assertArrayEquals(whole, gradInput(backend, model, new LogitChunks(1024 * VOCABULARY)));
            // 32 parts of 128, and one of 104, which has other kernels
            float[] thin = gradInput(backend, model, new LogitChunks(1));
            assertArrayEquals(Arrays.copyOf(whole, 4096 * WIDTH), Arrays.copyOf(thin, 4096 * WIDTH));
        }
    }

    private static float[] gradInput(CudaBackend backend, Decoder model, LogitChunks chunks) {
        int[] targets = new SplittableRandom(5).ints(TOKENS, 0, VOCABULARY).toArray(); // [TOKENS]
        Tensor kept;
        try (Tensor x = backend.allocate("x", DType.FP32, Shape.of(TOKENS, WIDTH), MemoryTag.STATE);
                Tensor ids = backend.allocate("targets", DType.INT32, Shape.of(TOKENS), MemoryTag.STATE);
                Tensor loss = backend.allocate("loss", DType.FP32, Shape.of(1), MemoryTag.STATE);
                Classifier classifier = model.classifier(chunks)) {
            backend.write(x, Matrix.normal(4, TOKENS, WIDTH, 1).values());
            backend.write(ids, targets);
            try (StepScope scope = backend.beginStep(StepContext.train(0, 0))) {
                classifier.forward(scope, x, ids, loss, 1);
                try (Tensor gradient = classifier.backward(scope, _ -> x.share())) {
                    kept = gradient.share();
                }
            }
            model.linears().forEach(QuantizedLayer::releaseWeight);
        }
        try (kept) {
            return backend.readFloats(kept);
        }
    }

    /** 16384 x 50304 in four chunks: a loss, and a peak that has lost more than the logits of all tokens would take. */
    @Test
    void logitsOfOneChunkAreHeld() {
        TrainingStep.Size size = new TrainingStep.Size("wide", 1, 128, 2, 128, 50304, 16, 1024);
        LogitChunks all = new LogitChunks(Integer.MAX_VALUE);
        float[] whole;
        float[] chunks;
        long wholePeak;
        long chunksPeak;
        MemoryLayout layout;
        try (CudaBackend backend = Gpu.open()) {
            whole = losses(backend, size, "bf16", all);
            wholePeak = backend.memory().peakBytes();
            layout = backend.memoryLayout();
        }
        try (CudaBackend backend = Gpu.open()) {
            chunks = losses(backend, size, "bf16", LogitChunks.DEFAULT);
            chunksPeak = backend.memory().peakBytes();
        }
        assertForeseen(StepTimes.predicted(size, "bf16", all, layout), wholePeak);
        assertForeseen(StepTimes.predicted(size, "bf16", LogitChunks.DEFAULT, layout), chunksPeak);
        long logits = 4L * size.tokens() * size.vocabulary();
        assertTrue(wholePeak - chunksPeak > logits, wholePeak + " and " + chunksPeak);
        // the first loss is one of the same weights: four parts are rounded, and their sums
        assertEquals(whole[0], chunks[0], (2 * 4 + 2) * 0x1p-24 * whole[0]);
        assertTrue(chunks[STEPS - 1] < chunks[0], Arrays.toString(chunks));
    }

    /** What operations work in comes on top of the tensors: at most a twentieth. */
    private static void assertForeseen(long predicted, long measured) {
        assertTrue(
                Math.abs(measured - predicted) <= measured / 20, predicted + " predicted, " + measured + " measured");
    }
}
