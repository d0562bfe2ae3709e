package dev.nibble.models;

import dev.nibble.models.checkpoint.Checkpoint;
import dev.nibble.models.checkpoint.CheckpointFile;
import dev.nibble.models.checkpoint.DeviceTensors;
import dev.nibble.models.data.Vocabulary;
import dev.nibble.models.layers.Decoder;
import dev.nibble.models.layers.Parameter;
import dev.nibble.models.layers.QuantizedLayer;
import dev.nibble.spi.Backend;
import dev.nibble.tensor.Tensor;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.OptionalInt;
import java.util.SequencedMap;
import java.util.function.Predicate;
import java.util.stream.Stream;

/**
 * The language model of a checkpoint, which goes on with a text, with the state of the quantizers frozen. A forward pass has one row for
 * each text, since keys and values of the tokens before are kept, or the whole window that the model saw in training ({@link
 * GenerationSpec#cached}). With FP32 layers both have the same bits. A quantizer that shares scales between rows gives a row other codes when it
 * is alone: what it was trained with it meets without a cache.
 */
public final class TextGenerator implements AutoCloseable {
    private final Vocabulary vocabulary;
    private final int context;
    private final Backend backend;
    private final int step;
    private final Decoder model;

    /** Why a text ended. */
    public enum End {
        /** It has as many tokens as it may have. */
        LENGTH,
        /** The model chose the tokenizer's end of text. */
        END_OF_TEXT,
        /** A text came at which it should stop. */
        STOP,
        /** The listener wanted it. */
        INTERRUPTED
    }

    /**
     * A text that has been gone on with.
     *
     * @param prompt its tokens before
     * @param tokens its new tokens
     * @param text what these mean, up to the end of text or what it should stop at
     * @param end why there are no more
     */
    public record Continuation(List<Integer> prompt, List<Integer> tokens, String text, End end) {
        /** Copies the lists. */
        public Continuation {
            prompt = List.copyOf(prompt);
            tokens = List.copyOf(tokens);
        }
    }

    /**
     * Some texts, and what they took.
     *
     * @param samples one or more
     * @param cacheBytes of keys and values; 0 without a cache
     */
    public record Generation(List<Continuation> samples, long cacheBytes) {
        /** Copies the list. */
        public Generation {
            samples = List.copyOf(samples);
        }
    }

    /**
     * Reads a model.
     *
     * @param resolution its configuration, of preset text
     * @param run seed and threads
     * @param state what the checkpoint says
     */
    TextGenerator(RunResolution resolution, RunConfig run, Checkpoint checkpoint, CheckpointState state) {
        SettingValues values = resolution.values();
        ActiveQuantizers active = new ActiveQuantizers(resolution.precision());
        this.vocabulary = TextPreset.vocabulary(values);
        this.context = TextPreset.context(values);
        this.step = state.step();
        this.backend = resolution.backend().open(run.backendOptions());
        this.model = new Decoder(backend, TextPreset.shape(values), run.seed(), active.byLayer());
        try {
            restore(
                    checkpoint,
                    state,
                    layer ->
                            active.labels().get(layer).equals(state.quantizers().get(layer)));
        } catch (RuntimeException e) {
            close();
            throw e;
        }
    }

    /** A layer under another quantizer than in the checkpoint begins as in a new run. */
    private void restore(Checkpoint checkpoint, CheckpointState state, Predicate<String> same) {
        SequencedMap<String, Tensor> parameters = new LinkedHashMap<>();
        for (Parameter parameter : model.parameters()) {
            parameters.put(parameter.name(), parameter.value());
        }
        new DeviceTensors(backend, parameters).restore(checkpoint.weights(), true);
        SequencedMap<String, Tensor> vectors = new LinkedHashMap<>();
        for (QuantizedLayer layer : model.linears()) {
            String name = layer.layer().site().name();
            if (same.test(name)) {
                layer.state().all().forEach((vector, tensor) -> vectors.put(name + "." + vector, tensor));
                layer.resumeAt(state.trainedSteps().getOrDefault(name, 0));
            }
        }
        new DeviceTensors(backend, vectors).restore(checkpoint.file(CheckpointFile.QUANTIZER), true);
    }

    /** {@return tokens that the model sees at once} */
    public int context() {
        return context;
    }

    /** {@return name of the backend} */
    public String backend() {
        return backend.name();
    }

    /** {@return whether keys and values can be kept: not where attention is quantized} */
    public boolean isCacheable() {
        return model.isCacheable();
    }

    /**
     * Goes on with a text.
     *
     * @param prompt a text of at least one token, and at most {@link #context}
     * @param spec how
     * @param listener hears the texts as they grow, and may end them
     * @return the new tokens
     * @throws IllegalArgumentException if the prompt does not fit, or has a token that the model has not
     * @throws dev.nibble.error.NonFiniteException if the model answers with NaN or infinity
     */
    public Generation generate(String prompt, GenerationSpec spec, TextListener listener) {
        int[] known = vocabulary.encode(prompt);
        requireFit(known);
        OptionalInt endOfText = vocabulary.endOfText();
        List<Integer> tokens = Arrays.stream(known).boxed().toList();
        List<GrowingText> texts = Stream.generate(() -> new GrowingText(vocabulary, endOfText, spec.stops(), tokens))
                .limit(spec.samples())
                .toList();
        long cacheBytes;
        boolean stopped = false;
        try (NextLogits logits = logits(spec)) {
            cacheBytes = logits.cacheBytes();
            for (int number = 0; number < spec.tokens() && !texts.stream().allMatch(GrowingText::ended); number++) {
                stopped = listener.stopRequested();
                if (stopped) {
                    break;
                }
                add(texts, logits, spec.sampling(), number, listener);
            }
        }
        for (int sample = 0; sample < texts.size(); sample++) {
            listener.text(sample, texts.get(sample).rest());
        }
        End otherwise = stopped ? End.INTERRUPTED : End.LENGTH;
        return new Generation(
                texts.stream().map(text -> text.continuation(otherwise)).toList(), cacheBytes);
    }

    private NextLogits logits(GenerationSpec spec) {
        return spec.cached() && isCacheable()
                ? new CachedLogits(backend, model, step, spec.samples(), context)
                : new WindowLogits(backend, model, step, spec.samples(), context);
    }

    /** Adds a token to each text that has not ended. */
    private static void add(
            List<GrowingText> texts, NextLogits logits, TokenSampling sampling, int number, TextListener listener) {
        List<float[]> next = logits.of(texts.stream().map(GrowingText::seen).toList()); // [vocabulary] each
        for (int sample = 0; sample < texts.size(); sample++) {
            GrowingText text = texts.get(sample);
            if (text.ended()) {
                text.keepUp();
            } else {
                listener.text(sample, text.add(sampling.next(next.get(sample), sample, number)));
            }
        }
    }

    private void requireFit(int[] prompt) {
        if (prompt.length == 0) {
            throw new IllegalArgumentException("the prompt has no token, but must have at least one");
        }
        if (prompt.length > context) {
            throw new IllegalArgumentException(
                    "the prompt has %d tokens, but the model sees at most %d at once; shorten it"
                            .formatted(prompt.length, context));
        }
        for (int token : prompt) {
            if (token >= model.vocabulary()) {
                throw new IllegalArgumentException(
                        "the prompt has token %d, but the model has %d; is the tokenizer that of the run?"
                                .formatted(token, model.vocabulary()));
            }
        }
    }

    @Override
    public void close() {
        model.close();
        backend.close();
        vocabulary.close();
    }
}
