package dev.nibble.models.encoder;

import dev.nibble.models.layers.Parameter;
import dev.nibble.models.layers.QuantizedLayer;
import dev.nibble.models.text.SentenceBatch;
import dev.nibble.models.text.SentenceBatches;
import dev.nibble.models.train.TokenIds;
import dev.nibble.models.train.Workload;
import dev.nibble.spi.Backend;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.List;
import java.util.Optional;

/** Classifies texts. */
final class SentenceWorkload implements Workload {
    private final Backend backend;
    private final Encoder model;
    private final int vocabulary;
    private final SentenceBatches batches;
    private final Tensor correct;
    private Optional<Loaded> loaded = Optional.empty();
    private Optional<Tensor> gradLogits = Optional.empty();

    /** The batch on the device. */
    private record Loaded(Sentences sentences, Tensor targets) {
        void close() {
            sentences.close();
            targets.close();
        }
    }

    /**
     * Joins a model and texts.
     *
     * @param model owned by this
     * @param vocabulary tokens that the model has
     */
    SentenceWorkload(Backend backend, Encoder model, int vocabulary, SentenceBatches batches) {
        this.backend = backend;
        this.model = model;
        this.vocabulary = vocabulary;
        this.batches = batches;
        this.correct = backend.allocate("correct", DType.FP32, Shape.of(1), MemoryTag.STATE);
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
    public void loadTraining(int step, int microBatch) {
        load(batches.training(step, microBatch));
    }

    @Override
    public void loadValidation(int index) {
        load(batches.validation(index));
    }

    private void load(SentenceBatch batch) {
        TokenIds.require("ids", batch.ids(), vocabulary);
        loaded.ifPresent(Loaded::close);
        Sentences sentences = new Sentences(
                ints("ids", batch.ids()),
                ints("positions", batch.places()),
                ints("types", new int[batch.ids().length]),
                ints("first tokens", batch.firsts()),
                batch.lengths());
        loaded = Optional.of(new Loaded(sentences, ints("targets", batch.targets())));
    }

    private Tensor ints(String label, int[] values) {
        Tensor tensor = backend.allocate(label, DType.INT32, Shape.of(values.length), MemoryTag.STATE);
        backend.write(tensor, values);
        return tensor;
    }

    @Override
    public void forward(StepScope scope, Tensor loss, float weight) {
        Loaded batch = loaded.orElseThrow();
        Tensor logits = model.forward(scope, batch.sentences());
        backend.neural().crossEntropy(scope, logits, batch.targets(), loss, weight, true);
        gradLogits = Optional.of(logits);
    }

    @Override
    public void backward(StepScope scope) {
        try (Tensor gradient = gradLogits.orElseThrow()) {
            gradLogits = Optional.empty();
            model.backward(scope, loaded.orElseThrow().sentences(), gradient);
        }
    }

    @Override
    public int validationBatches() {
        return batches.validationBatches();
    }

    @Override
    public void evaluate(StepScope scope, Tensor loss) {
        Loaded batch = loaded.orElseThrow();
        float weight = (float) ((double) batch.targets().shape().elements() / batches.validationTexts());
        try (Tensor logits = model.forward(scope, batch.sentences())) {
            backend.neural().crossEntropy(scope, logits, batch.targets(), loss, weight, false);
            backend.neural().countCorrect(scope, logits, batch.targets(), correct);
        }
    }

    @Override
    public Optional<Tensor> correct() {
        return Optional.of(correct);
    }

    @Override
    public long validationSamples() {
        return batches.validationTexts();
    }

    @Override
    public void close() {
        model.close();
        correct.close();
        loaded.ifPresent(Loaded::close);
    }
}
