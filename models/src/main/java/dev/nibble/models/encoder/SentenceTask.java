package dev.nibble.models.encoder;

import dev.nibble.models.text.EntityScores;
import dev.nibble.models.text.SentenceBatches;
import dev.nibble.models.text.TokenizedTexts;
import dev.nibble.models.train.Task;
import dev.nibble.models.train.TrainingSpec;
import dev.nibble.models.train.Workload;
import dev.nibble.spi.Backend;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearQuantizer;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.function.Function;

/**
 * Trains an encoder to classify texts, or the words of texts.
 *
 * @param shape sizes of the model
 * @param weights where its weights begin, if not with random numbers
 * @param tokenizer its tokenizer.json; empty for bytes
 * @param train texts to train on
 * @param test texts to test with
 * @param dataHash hash of the texts
 * @param labels names of the classes
 * @param tagging whether words are classified
 * @param notices what somebody who starts the run should know
 * @param batch texts in a micro-batch
 * @param training how to train
 */
public record SentenceTask(
        EncoderShape shape,
        Optional<Path> weights,
        Optional<Path> tokenizer,
        TokenizedTexts train,
        TokenizedTexts test,
        String dataHash,
        List<String> labels,
        boolean tagging,
        List<String> notices,
        int batch,
        TrainingSpec training)
        implements Task {
    /** Copies the lists. */
    public SentenceTask {
        labels = List.copyOf(labels);
        notices = List.copyOf(notices);
    }

    @Override
    public String summary() {
        return shape.summary();
    }

    @Override
    public long parameters() {
        return shape.parameters();
    }

    @Override
    public long units() {
        return batch;
    }

    @Override
    public Map<String, Object> facts() {
        Map<String, Object> facts = new TreeMap<>();
        facts.put("heads", shape.heads());
        facts.put("labels", labels);
        facts.put("words", tagging);
        tokenizer.ifPresent(file -> facts.put("tokenizer", file.toAbsolutePath().toString()));
        return facts;
    }

    @Override
    public Workload open(Backend backend, Function<LinearLayer, LinearQuantizer> quantizers, long seed) {
        SentenceBatches batches = new SentenceBatches(train, test, seed, batch, training.microBatches());
        Optional<EntityScores> entities = tagging ? Optional.of(new EntityScores(labels)) : Optional.empty();
        return new SentenceWorkload(backend, model(backend, quantizers, seed), shape.vocabulary(), batches, entities);
    }

    private Encoder model(Backend backend, Function<LinearLayer, LinearQuantizer> quantizers, long seed) {
        FirstValues drawn = FirstValues.drawn(seed);
        if (weights.isEmpty()) {
            return new Encoder(backend, shape, drawn, quantizers);
        }
        try (EncoderWeights file = EncoderWeights.open(weights.get())) {
            return new Encoder(backend, shape, file.or(drawn, labels), quantizers);
        }
    }
}
