package dev.nibble.models.encoder;

import dev.nibble.models.text.SentenceBatches;
import dev.nibble.models.text.TokenizedTexts;
import dev.nibble.models.train.Task;
import dev.nibble.models.train.TrainingSpec;
import dev.nibble.models.train.Workload;
import dev.nibble.spi.Backend;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearQuantizer;
import java.nio.file.Path;
import java.util.Optional;
import java.util.function.Function;

/**
 * Trains an encoder to classify texts.
 *
 * @param shape sizes of the model
 * @param weights where its weights begin, if not with random numbers; the head's always do
 * @param train texts to train on
 * @param test texts to test with
 * @param dataHash hash of the texts
 * @param batch texts in a micro-batch
 * @param training how to train
 */
public record SentenceTask(
        EncoderShape shape,
        Optional<Path> weights,
        TokenizedTexts train,
        TokenizedTexts test,
        String dataHash,
        int batch,
        TrainingSpec training)
        implements Task {
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
    public Workload open(Backend backend, Function<LinearLayer, LinearQuantizer> quantizers, long seed) {
        SentenceBatches batches = new SentenceBatches(train, test, seed, batch, training.microBatches());
        return new SentenceWorkload(backend, model(backend, quantizers, seed), shape.vocabulary(), batches);
    }

    private Encoder model(Backend backend, Function<LinearLayer, LinearQuantizer> quantizers, long seed) {
        FirstValues drawn = FirstValues.drawn(seed);
        if (weights.isEmpty()) {
            return new Encoder(backend, shape, drawn, quantizers);
        }
        try (EncoderWeights file = EncoderWeights.open(weights.get())) {
            return new Encoder(backend, shape, file.or(drawn), quantizers);
        }
    }
}
