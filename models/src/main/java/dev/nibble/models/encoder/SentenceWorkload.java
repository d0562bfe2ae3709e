package dev.nibble.models.encoder;

import dev.nibble.models.layers.Parameter;
import dev.nibble.models.layers.QuantizedLayer;
import dev.nibble.models.text.EntityScores;
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
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Optional;
import java.util.SequencedMap;

/** Classifies texts, or the words of texts. */
final class SentenceWorkload implements Workload {
    private final Backend backend;
    private final Encoder model;
    private final int vocabulary;
    private final SentenceBatches batches;
    private final Optional<EntityScores> entities;
    private final Tensor correct;
    private Optional<Loaded> loaded = Optional.empty();
    private Optional<Tensor> gradLogits = Optional.empty();

    private Optional<Answered> answered = Optional.empty();

    /** The batch on the device. */
    private record Loaded(SentenceBatch batch, Sentences sentences, Tensor targets) {
        void close() {
            sentences.close();
            targets.close();
        }
    }

    /** A validation batch whose entities are not counted yet: nothing is read from a device within a step. */
    private record Answered(SentenceBatch batch, Tensor logits) {}

    /**
     * Joins a model and texts.
     *
     * @param model owned by this
     * @param vocabulary tokens that the model has
     * @param entities counts the entities in the texts to test with, if words are classified
     */
    SentenceWorkload(
            Backend backend, Encoder model, int vocabulary, SentenceBatches batches, Optional<EntityScores> entities) {
        this.backend = backend;
        this.model = model;
        this.vocabulary = vocabulary;
        this.batches = batches;
        this.entities = entities;
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
    public void repeatBlocks() {
        model.repeatBlocks();
    }

    @Override
    public void loadTraining(int step, int microBatch) {
        dropAnswered();
        load(batches.training(step, microBatch));
    }

    @Override
    public void loadLargest() {
        dropAnswered();
        load(batches.largest());
    }

    @Override
    public void loadValidation(int index) {
        if (index == 0) {
            dropAnswered();
            entities.ifPresent(EntityScores::clear);
        }
        countEntities();
        load(batches.validation(index));
    }

    private void load(SentenceBatch batch) {
        TokenIds.require("ids", batch.ids(), vocabulary);
        loaded.ifPresent(Loaded::close);
        Sentences sentences = new Sentences(
                ints("ids", batch.ids()),
                ints("positions", batch.places()),
                ints("types", new int[batch.ids().length]),
                ints("asked", batch.asked()),
                batch.lengths());
        loaded = Optional.of(new Loaded(batch, sentences, ints("targets", batch.targets())));
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
        float weight = (float) ((double) batch.targets().shape().elements() / batches.validationQuestions());
        try (Tensor logits = model.forward(scope, batch.sentences())) {
            backend.neural().crossEntropy(scope, logits, batch.targets(), loss, weight, false);
            backend.neural().countCorrect(scope, logits, batch.targets(), correct);
            if (entities.isPresent()) {
                answered = Optional.of(new Answered(batch.batch(), logits.share()));
            }
        }
    }

    private void countEntities() {
        if (answered.isEmpty()) {
            return;
        }
        SentenceBatch batch = answered.get().batch();
        float[] logits = backend.readFloats(answered.get().logits()); // [asked, classes]
        dropAnswered();
        int classes = logits.length / batch.targets().length;
        int first = 0;
        for (int asked : batch.askedOfEach()) {
            int[] guesses = new int[asked]; // [words]
            for (int i = 0; i < asked; i++) {
                guesses[i] = largest(logits, (first + i) * classes, classes);
            }
            entities.orElseThrow().add(Arrays.copyOfRange(batch.targets(), first, first + asked), guesses);
            first += asked;
        }
    }

    /** {@return the place of the largest of some values, the first of several} */
    private static int largest(float[] values, int first, int count) {
        int best = 0;
        for (int i = 1; i < count; i++) {
            best = values[first + i] > values[first + best] ? i : best;
        }
        return best;
    }

    private void dropAnswered() {
        answered.ifPresent(last -> last.logits().close());
        answered = Optional.empty();
    }

    @Override
    public SequencedMap<String, Double> scores(double loss) {
        countEntities();
        return entities.map(EntityScores::scores).orElseGet(LinkedHashMap::new);
    }

    @Override
    public Optional<Tensor> correct() {
        return Optional.of(correct);
    }

    @Override
    public long validationSamples() {
        return batches.validationQuestions();
    }

    @Override
    public void close() {
        model.close();
        correct.close();
        dropAnswered();
        loaded.ifPresent(Loaded::close);
    }
}
