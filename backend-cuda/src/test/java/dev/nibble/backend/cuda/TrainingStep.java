package dev.nibble.backend.cuda;

import dev.nibble.models.layers.Classifier;
import dev.nibble.models.layers.Decoder;
import dev.nibble.models.layers.DecoderShape;
import dev.nibble.models.layers.LogitChunks;
import dev.nibble.models.layers.QuantizedLayer;
import dev.nibble.models.train.Optimizer;
import dev.nibble.spi.AdamW;
import dev.nibble.spi.Backend;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.SplittableRandom;

/** A training step of a language model on random tokens: forward, backward, AdamW. The head is BF16, unless all is FP32. */
final class TrainingStep implements AutoCloseable {
    /**
     * A model and its batch; as in bench/gpu/torch_baselines.py.
     *
     * @param name of the size
     * @param batch sequences
     * @param sequence tokens of each
     */
    record Size(String name, int layers, int width, int heads, int hidden, int vocabulary, int batch, int sequence) {
        DecoderShape shape() {
            return new DecoderShape(vocabulary, width, heads, hidden, layers, false);
        }

        int tokens() {
            return batch * sequence;
        }

        /** {@return operations of the products of a step: of linear layers, and of causal attention} */
        double operations() {
            long weights = shape().linears().stream()
                    .mapToLong(layer -> layer.in() * layer.out())
                    .sum();
            return 6.0 * tokens() * (weights + (double) layers * width * sequence);
        }
    }

    private final Backend backend;
    private final Size size;
    private final Decoder model;
    private final Classifier classifier;
    private final Optimizer optimizer;
    private final Tensor ids;
    private final Tensor targets;
    private final Tensor loss;
    private int step;

    TrainingStep(Backend backend, Size size, String quantizer) {
        this(backend, size, quantizer, LogitChunks.DEFAULT);
    }

    /** Makes a step with other chunks of logits. */
    TrainingStep(Backend backend, Size size, String quantizer, LogitChunks chunks) {
        this.backend = backend;
        this.size = size;
        String head = quantizer.equals("fp32") ? quantizer : "bf16";
        model = new Decoder(
                backend,
                size.shape(),
                0,
                layer -> ProductTimes.quantizer(
                        layer.site().name().equals(DecoderShape.HEAD) ? head : quantizer, layer));
        classifier = model.classifier(chunks);
        optimizer = new Optimizer(backend, new AdamW(0.9f, 0.95f, 1e-8f, 0.1f), 1f, model.parameters());
        ids = tokens("ids", 1);
        targets = tokens("targets", 2);
        loss = backend.allocate("loss", DType.FP32, Shape.of(1), MemoryTag.STATE);
    }

    private Tensor tokens(String name, long seed) {
        int[] values = new SplittableRandom(seed)
                .ints(size.tokens(), 0, size.vocabulary())
                .toArray(); // [tokens]
        Tensor tensor = backend.allocate(name, DType.INT32, Shape.of(values.length), MemoryTag.STATE);
        backend.write(tensor, values);
        return tensor;
    }

    /** Enqueues a step. */
    void run() {
        try (StepScope scope = backend.beginStep(StepContext.train(step, 1e-4f))) {
            optimizer.zeroGradients(scope);
            backend.neural().zero(scope, loss);
            try (Tensor hidden = model.hidden(scope, ids, ids, size.batch())) {
                classifier.forward(scope, hidden, targets, loss, 1);
            }
            model.backward(scope, ids, ids, classifier.backward(scope, model::hiddenAgain));
            model.linears().forEach(QuantizedLayer::releaseWeight);
            optimizer.step(scope);
            model.linears().forEach(linear -> linear.afterOptimizer(scope, optimizer.control()));
        }
        model.linears().forEach(QuantizedLayer::markTrained);
        step++;
    }

    /** {@return the loss of the last step; waits for it} */
    float loss() {
        return backend.readFloats(loss)[0];
    }

    @Override
    public void close() {
        classifier.close();
        model.close();
        optimizer.close();
        ids.close();
        targets.close();
        loss.close();
    }
}
