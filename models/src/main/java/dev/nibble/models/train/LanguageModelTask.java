package dev.nibble.models.train;

import dev.nibble.models.data.TextBatches;
import dev.nibble.models.data.TokenText;
import dev.nibble.models.layers.Decoder;
import dev.nibble.models.layers.DecoderShape;
import dev.nibble.models.layers.LogitChunks;
import dev.nibble.models.layers.Parameter;
import dev.nibble.spi.Backend;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearQuantizer;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.BiConsumer;
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
 * @param chunks how many logits may exist at once
 * @param firstWeights replaces the first weights of a model, or leaves them
 */
public record LanguageModelTask(
        DecoderShape shape,
        TokenText text,
        int batch,
        int sequence,
        int validationBatches,
        TrainingSpec training,
        LogitChunks chunks,
        BiConsumer<Backend, List<Parameter>> firstWeights)
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
    public Map<String, Object> facts() {
        Map<String, Object> facts = new LinkedHashMap<>();
        facts.put("heads", shape.heads());
        text.tokenizer().ifPresent(path -> facts.put("tokenizer", path.toString()));
        return facts;
    }

    @Override
    public Workload open(Backend backend, Function<LinearLayer, LinearQuantizer> quantizers, long seed) {
        TextBatches batches = new TextBatches(text, seed, batch, sequence);
        Decoder model = new Decoder(backend, shape, seed, quantizers);
        if (backend.hasValues()) {
            firstWeights.accept(backend, model.parameters());
        }
        return new LanguageModelWorkload(backend, model, batches, batch, sequence, validationBatches, chunks);
    }
}
