package dev.nibble.cli;

import dev.nibble.models.data.ByteText;
import dev.nibble.models.data.TextBatches;
import dev.nibble.models.layers.Decoder;
import dev.nibble.models.layers.DecoderShape;
import dev.nibble.models.layers.LogitChunks;
import dev.nibble.models.layers.QuantizedLayer;
import dev.nibble.models.train.LanguageModelWorkload;
import dev.nibble.models.train.Optimizer;
import dev.nibble.spi.AdamW;
import dev.nibble.spi.Backend;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;

/** A whole training step of a small language model: forward, backward, AdamW. The head is FP32. */
final class BenchStep implements Runnable, AutoCloseable {
    private static final int WIDTH = 512;
    private static final int HEADS = 8;
    private static final int HIDDEN = 1408;
    private static final int LAYERS = 8;
    private static final int TOKENS = 256;
    private static final int FRESH_STEPS = 3;
    private static final DecoderShape SHAPE =
            new DecoderShape(ByteText.VOCABULARY, WIDTH, HEADS, HIDDEN, LAYERS, false);

    private final Backend backend;
    private final LanguageModelWorkload workload;
    private final Optimizer optimizer;
    private final Tensor loss;
    private int step;
    private long savedBytes;

    BenchStep(Backend backend, String quantizer) {
        this(backend, quantizer, SHAPE, TOKENS);
    }

    /** Makes the step of another model. */
    BenchStep(Backend backend, String quantizer, DecoderShape shape, int tokens) {
        this.backend = backend;
        Decoder model = new Decoder(
                backend,
                shape,
                0,
                layer -> BenchLayer.quantizer(
                        layer.site().name().equals(DecoderShape.HEAD) ? "fp32" : quantizer, layer));
        TextBatches batches = new TextBatches(ByteText.bundled(), 0, 1, tokens);
        workload = new LanguageModelWorkload(backend, model, batches, 1, tokens, 1, LogitChunks.DEFAULT);
        optimizer = new Optimizer(backend, new AdamW(0.9f, 0.95f, 1e-8f, 0.1f), 1f, workload.parameters());
        loss = backend.allocate("loss", DType.FP32, Shape.of(1), MemoryTag.STATE);
        for (int i = 0; i < FRESH_STEPS; i++) {
            run();
        }
    }

    /** {@return the model in a few words} */
    static String shape() {
        return LAYERS + " layers, " + WIDTH + " wide, SwiGLU " + HIDDEN + ", T = " + TOKENS;
    }

    /** {@return operations of the linear layers in a step: two a weight and token forward, four backward} */
    static double operations() {
        return 6.0
                * TOKENS
                * SHAPE.linears().stream().mapToLong(l -> l.in() * l.out()).sum();
    }

    @Override
    public void run() {
        workload.loadTraining(step, 0);
        try (StepScope scope = backend.beginStep(StepContext.train(step, 1e-4f))) {
            optimizer.zeroGradients(scope);
            backend.neural().zero(scope, loss);
            workload.forward(scope, loss, 1);
            savedBytes = backend.memory().live(MemoryTag.CONTEXT);
            workload.backward(scope);
            workload.linears().forEach(QuantizedLayer::releaseWeight);
            optimizer.step(scope);
            workload.linears().forEach(linear -> linear.afterOptimizer(scope, optimizer.control()));
        }
        workload.linears().forEach(QuantizedLayer::markTrained);
        step++;
    }

    /** {@return bytes that the last step kept between its passes} */
    long savedBytes() {
        return savedBytes;
    }

    @Override
    public void close() {
        workload.close();
        optimizer.close();
        loss.close();
    }
}
