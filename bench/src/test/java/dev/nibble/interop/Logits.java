package dev.nibble.interop;

import dev.nibble.models.checkpoint.Checkpoint;
import dev.nibble.models.checkpoint.CheckpointFile;
import dev.nibble.models.checkpoint.CheckpointStore;
import dev.nibble.models.data.ByteVocabulary;
import dev.nibble.models.data.Vocabulary;
import dev.nibble.models.encoder.Encoder;
import dev.nibble.models.encoder.EncoderShape;
import dev.nibble.models.encoder.Sentences;
import dev.nibble.models.files.JsonFields;
import dev.nibble.models.layers.Decoder;
import dev.nibble.models.layers.DecoderShape;
import dev.nibble.models.layers.DecoderStyle;
import dev.nibble.models.layers.MlpKind;
import dev.nibble.models.layers.OutlierSpec;
import dev.nibble.models.safetensors.ElementType;
import dev.nibble.models.safetensors.SafetensorsFile;
import dev.nibble.models.safetensors.SafetensorsWriter;
import dev.nibble.models.safetensors.TensorContent;
import dev.nibble.models.text.ByteTokenizer;
import dev.nibble.models.text.FileTokenizer;
import dev.nibble.models.text.FileVocabulary;
import dev.nibble.models.text.TextTokenizer;
import dev.nibble.spi.Backend;
import dev.nibble.spi.BackendOptions;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.OptionValues;
import dev.nibble.spi.Plugins;
import dev.nibble.spi.QuantizerProvider;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.stream.IntStream;

/**
 * Writes what the model of a run makes of texts in FP32, for another program to compare: {@code ids.N}, the tokens of line N, and {@code
 * logits.N}, [tokens, vocabulary or classes]. It reads the checkpoint, and nothing that was exported.
 */
final class Logits {
    private final JsonFields state;
    private final SafetensorsFile weights;
    private final Backend backend;

    private Logits(JsonFields state, SafetensorsFile weights, Backend backend) {
        this.state = state;
        this.weights = weights;
        this.backend = backend;
    }

    /** Arguments: the folder of a run, a file with a text a line (words with spaces between, where words are tagged), the file to write. */
    public static void main(String[] args) throws IOException {
        Checkpoint checkpoint = new CheckpointStore(Path.of(args[0]).resolve(CheckpointStore.FOLDER))
                .newest(new ArrayList<>())
                .orElseThrow();
        List<String> texts = Files.readAllLines(Path.of(args[1]));
        try (SafetensorsFile weights = SafetensorsFile.open(checkpoint.file(CheckpointFile.MODEL));
                Backend backend = Plugins.openBackend("cpu", BackendOptions.withSeed(0))) {
            Logits logits = new Logits(checkpoint.json(CheckpointFile.STATE), weights, backend);
            SafetensorsWriter.write(
                    Path.of(args[2]), Map.of(), logits.isEncoder() ? logits.encoder(texts) : logits.decoder(texts));
        }
    }

    private boolean isEncoder() {
        return weights.tensors().containsKey("types.weight");
    }

    private int rows(String tensor) {
        return Math.toIntExact(weights.tensor(tensor).shape().rows());
    }

    private int width() {
        return Math.toIntExact(weights.tensor("embedding.weight").shape().cols());
    }

    private int heads() {
        return (int) state.object("model").whole("heads", 1, width());
    }

    private int layers() {
        return (int) weights.tensors().keySet().stream()
                .filter(name -> name.endsWith(".mlp.down.weight"))
                .count();
    }

    private Optional<Path> tokenizer() {
        return Optional.ofNullable(state.object("model").fields().get("tokenizer"))
                .map(file -> Path.of(file.toString()));
    }

    private int longest() {
        return Integer.parseInt(state.object("configuration").texts("settings").get("data.sequence"));
    }

    private static LinearQuantizer quantizer(LinearLayer layer) {
        QuantizerProvider provider = Plugins.quantizers().get("fp32");
        return provider.create(OptionValues.of("fp32", provider.options(), Map.of()))
                .linear(layer);
    }

    private List<TensorContent> decoder(List<String> texts) {
        boolean gpt2 = weights.tensors().containsKey("positions.weight");
        boolean tanh = state.object("configuration")
                .texts("settings")
                .getOrDefault("model.gelu", "exact")
                .equals("tanh");
        MlpKind gelu = tanh ? MlpKind.GELU_TANH : MlpKind.GELU;
        DecoderShape shape = new DecoderShape(
                gpt2 ? DecoderStyle.GPT2 : DecoderStyle.LLAMA,
                gpt2 ? gelu : MlpKind.SWIGLU,
                rows("embedding.weight"),
                width(),
                heads(),
                Math.toIntExact(
                        weights.tensor("blocks.0.mlp.down.weight").shape().cols()),
                layers(),
                !weights.tensors().containsKey("head.weight"),
                gpt2 ? rows("positions.weight") : 0,
                OutlierSpec.NONE,
                OptionalInt.empty());
        List<TensorContent> contents = new ArrayList<>();
        try (Decoder model = new Decoder(backend, shape, 0, Logits::quantizer);
                Vocabulary vocabulary =
                        tokenizer().<Vocabulary>map(FileVocabulary::open).orElseGet(ByteVocabulary::new)) {
            model.parameters().forEach(parameter -> backend.write(parameter.value(), weights.floats(parameter.name())));
            for (String text : texts) {
                int[] all = vocabulary.encode(text);
                int[] ids = Arrays.copyOf(all, Math.min(all.length, longest()));
                try (Tensor tokens = ints(ids);
                        Tensor places = ints(IntStream.range(0, ids.length).toArray())) {
                    add(contents, ids, read(scope -> model.forward(scope, tokens, places, 1)));
                }
            }
        }
        return contents;
    }

    private List<TensorContent> encoder(List<String> texts) {
        EncoderShape shape = new EncoderShape(
                rows("embedding.weight"),
                rows("positions.weight"),
                rows("types.weight"),
                width(),
                heads(),
                rows("blocks.0.mlp.up.weight"),
                layers(),
                rows("head.weight"));
        boolean words = Boolean.TRUE.equals(state.object("model").fields().get("words"));
        List<TensorContent> contents = new ArrayList<>();
        try (Encoder model =
                        new Encoder(backend, shape, (name, ordinal, size) -> weights.floats(name), Logits::quantizer);
                TextTokenizer tokenizer = tokenizer()
                        .<TextTokenizer>map(file -> FileTokenizer.open(file, longest()))
                        .orElseGet(ByteTokenizer::new)) {
            for (String text : texts) {
                int[] ids = words
                        ? tokenizer
                                .encode(List.of(text.split(" ", -1)), longest())
                                .tokens()
                        : tokenizer.encode(text, longest()).tokens();
                int[] places = IntStream.range(0, ids.length).toArray();
                try (Sentences sentences = new Sentences(
                        ints(ids), ints(places), ints(new int[ids.length]), ints(places), new int[] {ids.length})) {
                    add(contents, ids, read(scope -> model.forward(scope, sentences)));
                }
            }
        }
        return contents;
    }

    /** A forward pass. */
    @FunctionalInterface
    private interface Pass {
        Tensor logits(StepScope scope);
    }

    private float[] read(Pass pass) {
        Tensor kept;
        try (StepScope scope = backend.beginStep(StepContext.eval(0));
                Tensor logits = pass.logits(scope)) {
            kept = logits.share();
        }
        try (kept) {
            return backend.readFloats(kept);
        }
    }

    private Tensor ints(int[] values) {
        Tensor tensor = backend.allocate("ids", DType.INT32, Shape.of(values.length), MemoryTag.STATE);
        backend.write(tensor, values);
        return tensor;
    }

    private static void add(List<TensorContent> contents, int[] ids, float[] logits) {
        int line = contents.size() / 2;
        float[] tokens = new float[ids.length]; // [tokens]: exact, below 2^24
        for (int i = 0; i < ids.length; i++) {
            tokens[i] = ids[i];
        }
        contents.add(TensorContent.floats("ids." + line, ElementType.F32, Shape.of(ids.length), () -> tokens));
        Shape shape = Shape.of(ids.length, logits.length / ids.length);
        contents.add(TensorContent.floats("logits." + line, ElementType.F32, shape, () -> logits));
    }
}
