package dev.nibble.models.train;

import dev.nibble.models.data.ByteText;
import dev.nibble.models.data.TextBatches;
import dev.nibble.models.layers.Llama;
import dev.nibble.models.layers.LlamaShape;
import dev.nibble.spi.Backend;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearQuantizer;
import java.util.function.Function;

/**
 * Trains a decoder on a text.
 *
 * @param shape sizes of the model
 * @param text the text
 * @param batch sequences in a micro-batch
 * @param sequence tokens in a sequence
 * @param validationBatches batches of held-out text
 * @param training how to train
 */
public record LanguageModelTask(
        LlamaShape shape, ByteText text, int batch, int sequence, int validationBatches, TrainingSpec training)
        implements Task {
    /** Checks that the text is long enough. */
    public LanguageModelTask {
        text.requireWindows(sequence + 1);
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
        return (long) batch * sequence;
    }

    @Override
    public String dataHash() {
        return text.hash();
    }

    @Override
    public Workload open(Backend backend, Function<LinearLayer, LinearQuantizer> quantizers, long seed) {
        TextBatches batches = new TextBatches(text, seed, batch, sequence);
        Llama model = new Llama(backend, shape, seed, quantizers);
        return new LanguageModelWorkload(backend, model, batches, batch, sequence, validationBatches);
    }
}
