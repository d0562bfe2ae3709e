package dev.nibble.models.train;

import dev.nibble.models.data.TextBatch;
import dev.nibble.models.data.TextBatches;
import dev.nibble.models.layers.Classifier;
import dev.nibble.models.layers.Decoder;
import dev.nibble.models.layers.LogitChunks;
import dev.nibble.models.layers.Parameter;
import dev.nibble.models.layers.QuantizedLayer;
import dev.nibble.spi.Backend;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.SequencedMap;

/** Predicts the next token of a text. */
public final class LanguageModelWorkload implements Workload {
    private final Backend backend;
    private final Decoder model;
    private final Classifier classifier;
    private final TextBatches batches;
    private final int batch;
    private final int validationBatches;
    private final Tensor ids;
    private final Tensor places;
    private final Tensor targets;

    /**
     * Joins a model and a text.
     *
     * @param backend computes
     * @param model owned by this
     * @param batches the text
     * @param batch sequences in a batch
     * @param sequence tokens in a sequence
     * @param validationBatches validation batches
     * @param chunks how many logits may exist at once
     */
    public LanguageModelWorkload(
            Backend backend,
            Decoder model,
            TextBatches batches,
            int batch,
            int sequence,
            int validationBatches,
            LogitChunks chunks) {
        this.backend = backend;
        this.model = model;
        this.classifier = model.classifier(chunks);
        this.batches = batches;
        this.batch = batch;
        this.validationBatches = validationBatches;
        Shape tokens = Shape.of((long) batch * sequence);
        this.ids = backend.allocate("ids", DType.INT32, tokens, MemoryTag.STATE);
        this.places = model.hasPositions() ? places(tokens, sequence) : ids.share();
        this.targets = backend.allocate("targets", DType.INT32, tokens, MemoryTag.STATE);
    }

    private Tensor places(Shape tokens, int sequence) {
        int[] values = new int[Math.toIntExact(tokens.elements())]; // [batch, sequence]
        for (int i = 0; i < values.length; i++) {
            values[i] = i % sequence;
        }
        Tensor tensor = backend.allocate("places", DType.INT32, tokens, MemoryTag.STATE);
        backend.write(tensor, values);
        return tensor;
    }

    @Override
    public List<Parameter> parameters() {
        return model.parameters();
    }

    @Override
    public List<QuantizedLayer> linears() {
        return model.linears();
    }

    @Override
    public void repeatBlocks() {
        model.repeatBlocks();
    }

    @Override
    public void loadTraining(int step, int microBatch) {
        load(batches.training(step, microBatch));
    }

    @Override
    public void loadValidation(int index) {
        load(batches.validation(index, validationBatches));
    }

    private void load(TextBatch next) {
        TokenIds.require("ids", next.ids(), model.vocabulary());
        TokenIds.require("targets", next.targets(), model.vocabulary());
        backend.write(ids, next.ids());
        backend.write(targets, next.targets());
    }

    @Override
    public void forward(StepScope scope, Tensor loss, float weight) {
        try (Tensor hidden = model.hidden(scope, ids, places, batch)) {
            classifier.forward(scope, hidden, targets, loss, weight);
        }
    }

    @Override
    public void backward(StepScope scope) {
        model.backward(scope, ids, places, classifier.backward(scope, model::hiddenAgain));
    }

    @Override
    public int validationBatches() {
        return validationBatches;
    }

    @Override
    public void evaluate(StepScope scope, Tensor loss) {
        forward(scope, loss, 1f / validationBatches);
    }

    @Override
    public SequencedMap<String, Double> scores(double loss) {
        SequencedMap<String, Double> scores = new LinkedHashMap<>();
        scores.put(TaskKind.PERPLEXITY, Math.exp(loss));
        scores.put(TaskKind.BITS_PER_BYTE, loss / Math.log(2) / batches.bytesPerToken());
        return scores;
    }

    @Override
    public List<String> notices() {
        return classifier.notice(Math.toIntExact(targets.shape().elements())).stream()
                .toList();
    }

    @Override
    public void close() {
        classifier.close();
        model.close();
        ids.close();
        places.close();
        targets.close();
    }
}
