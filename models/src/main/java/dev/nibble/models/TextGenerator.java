package dev.nibble.models;

import dev.nibble.models.checkpoint.Checkpoint;
import dev.nibble.models.checkpoint.CheckpointFile;
import dev.nibble.models.checkpoint.DeviceTensors;
import dev.nibble.models.data.Vocabulary;
import dev.nibble.models.layers.Decoder;
import dev.nibble.models.layers.Parameter;
import dev.nibble.models.layers.QuantizedLayer;
import dev.nibble.spi.Backend;
import dev.nibble.spi.BlockCopy;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.SequencedMap;
import java.util.function.Predicate;

/**
 * The language model of a checkpoint, which goes on with a text. Each token is a forward pass, with the state of the quantizers
 * frozen, over a window of as many tokens as a sequence had in training: the last ones of the text, and behind them the same ones
 * again, which no token before sees. So a quantizer that looks at many rows at once meets rows such as it was trained with.
 */
public final class TextGenerator implements AutoCloseable {
    private final Vocabulary vocabulary;
    private final int context;
    private final Backend backend;
    private final int step;
    private final Decoder model;
    private final Tensor ids;
    private final Tensor places;
    private final Tensor last;

    /**
     * A text that has been gone on with.
     *
     * @param prompt its tokens before
     * @param tokens its new tokens
     * @param text what these mean
     */
    public record Continuation(List<Integer> prompt, List<Integer> tokens, String text) {
        /** Copies the lists. */
        public Continuation {
            prompt = List.copyOf(prompt);
            tokens = List.copyOf(tokens);
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
        this.ids = backend.allocate("ids", DType.INT32, Shape.of(context), MemoryTag.STATE);
        this.places = backend.allocate("places", DType.INT32, Shape.of(context), MemoryTag.STATE);
        this.last = backend.allocate("logits", DType.FP32, Shape.of(1, model.vocabulary()), MemoryTag.STATE);
        int[] numbers = new int[context]; // [context]
        for (int i = 0; i < context; i++) {
            numbers[i] = i;
        }
        backend.write(places, numbers);
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
        new DeviceTensors(backend, parameters).restore(checkpoint.file(CheckpointFile.MODEL), true);
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

    /**
     * Goes on with a text.
     *
     * @param prompt a text of at least one token, and at most {@link #context}
     * @param most new tokens, at least 1
     * @param sampling how they are chosen
     * @param listener hears the text as it grows, and may end it
     * @return the new tokens
     * @throws IllegalArgumentException if the prompt does not fit, or has a token that the model has not
     * @throws dev.nibble.error.NonFiniteException if the model answers with NaN or infinity
     */
    public Continuation generate(String prompt, int most, TokenSampling sampling, TextListener listener) {
        int[] known = vocabulary.encode(prompt);
        requireFit(known);
        List<Integer> text = new ArrayList<>();
        for (int token : known) {
            text.add(token);
        }
        List<Integer> added = new ArrayList<>();
        String before = vocabulary.decode(text);
        String told = "";
        while (added.size() < most && !listener.stopRequested()) {
            int next = sampling.next(logits(text), added.size());
            text.add(next);
            added.add(next);
            String now = decode(before, text, added);
            // the end may be a part of a character, which the next token completes
            if (now.startsWith(told) && !now.endsWith("\uFFFD")) {
                listener.text(now.substring(told.length()));
                told = now;
            }
        }
        String all = decode(before, text, added);
        if (all.startsWith(told)) {
            listener.text(all.substring(told.length()));
        }
        return new Continuation(text.subList(0, known.length), added, all);
    }

    /** {@return what new tokens mean: what they add to the text before, since a tokenizer may leave a space out at its begin} */
    private String decode(String before, List<Integer> text, List<Integer> added) {
        String all = vocabulary.decode(text);
        return all.startsWith(before) ? all.substring(before.length()) : vocabulary.decode(added);
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

    /** {@return the logits of the token after a text, [vocabulary]} */
    private float[] logits(List<Integer> text) {
        List<Integer> seen = text.subList(Math.max(0, text.size() - context), text.size());
        int[] window = new int[context]; // [context]
        for (int i = 0; i < context; i++) {
            window[i] = seen.get(i % seen.size());
        }
        backend.write(ids, window);
        try (StepScope scope = backend.beginStep(StepContext.eval(step));
                Tensor logits = model.forward(scope, ids, places, 1)) {
            backend.neural().copyBlock(scope, logits, last, BlockCopy.cut(1, model.vocabulary(), seen.size() - 1, 0));
        }
        return backend.readFloats(last);
    }

    @Override
    public void close() {
        model.close();
        ids.close();
        places.close();
        last.close();
        backend.close();
        vocabulary.close();
    }
}
