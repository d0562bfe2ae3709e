package dev.nibble.models;

import static dev.nibble.models.Setting.integer;
import static dev.nibble.models.Setting.number;

import dev.nibble.error.NibbleException;
import dev.nibble.models.checkpoint.PretrainedWeights;
import dev.nibble.models.data.ByteText;
import dev.nibble.models.data.ByteVocabulary;
import dev.nibble.models.data.TokenFile;
import dev.nibble.models.data.TokenText;
import dev.nibble.models.data.Vocabulary;
import dev.nibble.models.files.CacheFolder;
import dev.nibble.models.layers.DecoderShape;
import dev.nibble.models.layers.DecoderStyle;
import dev.nibble.models.layers.LogitChunks;
import dev.nibble.models.layers.MlpKind;
import dev.nibble.models.layers.OutlierSpec;
import dev.nibble.models.text.FileVocabulary;
import dev.nibble.models.train.LanguageModelTask;
import dev.nibble.models.train.Task;
import dev.nibble.models.train.TaskKind;
import dev.nibble.spi.Gelu;
import dev.nibble.spi.LinearLayer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.SortedMap;

/**
 * A language model, Llama-style or GPT-2-style, on bytes or the tokens of a tokenizer; by default on a public-domain text. A step has
 * 2048 tokens, and the input of every projection at least 32 blocks of 128x128.
 */
final class TextPreset implements Preset {
    /** Name of the preset. */
    static final String NAME = "text";

    /** Name of the setting that names the tokenizer. */
    static final String TOKENIZER = "model.tokenizer";

    private static final String STYLE = "model.style";
    private static final String GELU = "model.gelu";
    private static final String EXACT = "exact";
    private static final String WEIGHTS = "model.weights";
    private static final String DATA = "data.path";
    private static final String TOKENS = "data.tokens";
    private static final String LOGITS = "model.logitsElements";
    private static final String ALL_LOGITS = "999999999";
    private static final String SEQUENCE = "data.sequence";
    private static final int HIDDEN_MULTIPLE = 64;
    private static final TrainingSettings TRAINING = new TrainingSettings(100, "0.0015", 10, "0.1");

    @Override
    public String name() {
        return NAME;
    }

    @Override
    public String description() {
        return "language model, Llama-style or GPT-2-style, on the bytes of Moby-Dick, or on texts and a tokenizer of your own";
    }

    @Override
    public TaskKind kind() {
        return TaskKind.LANGUAGE_MODEL;
    }

    @Override
    public List<Setting> settings() {
        return TRAINING.after(
                new Setting(
                        STYLE,
                        Setting.Type.TEXT,
                        "llama",
                        "blocks: llama; or gpt2, with learned positions, LayerNorm, GELU and biases"),
                new Setting(
                        GELU,
                        Setting.Type.TEXT,
                        "tanh",
                        "GELU of a gpt2: tanh, the approximation that OpenAI's has (gelu_new); or exact"),
                integer("model.width", 256, "features of the residual stream"),
                integer("model.heads", 4, "attention heads"),
                integer(
                        "model.hidden",
                        0,
                        "features of gate and of up in the feed-forward layer; 0 for 8/3 of the width, up to a multiple of 64 (llama), or 4 times the width (gpt2)"),
                integer("model.layers", 4, "decoder blocks"),
                new Setting(
                        "model.tiedHead",
                        Setting.Type.BOOLEAN,
                        "false",
                        "whether the head of a llama uses the embedding's table; that of a gpt2 always does"),
                AttentionSetting.setting(),
                number(
                        "model.outlierRate",
                        "0",
                        "share of the inputs of mlp.gateUp and mlp.down that gets an outlier, which cancels in exact arithmetic"),
                number("model.outlierSize", "1000", "magnitude of these outliers"),
                integer(
                        LOGITS,
                        LogitChunks.DEFAULT.elements(),
                        "logits that are held at once, at most: the head takes tokens in chunks, of multiples of 128, whose logits fit"),
                new Setting(
                        WEIGHTS,
                        Setting.Type.PATH,
                        "",
                        "a .safetensors with Hugging Face's names, whose values a model of these sizes begins with; empty for random ones"),
                new Setting(
                        TOKENIZER,
                        Setting.Type.PATH,
                        "",
                        "a tokenizer.json of Hugging Face, whose tokens the model reads; empty for bytes"),
                new Setting(
                        DATA,
                        Setting.Type.PATH,
                        "",
                        "a text file, or a folder of them, in the order of their paths; empty for the bundled Moby-Dick"),
                new Setting(
                        TOKENS,
                        Setting.Type.PATH,
                        "",
                        "file that keeps the tokens of the text, made on first use; empty for one below ~/.cache/nibble/tokens"),
                integer("data.batch", 16, "sequences in a micro-batch"),
                integer("data.sequence", 128, "tokens in a sequence"),
                integer("data.validationBatches", 8, "batches of held-out text in an evaluation"));
    }

    @Override
    public List<LinearLayer> layers(SettingValues values) {
        Problems problems = new Problems();
        checkData(values, problems);
        problems.check(() -> TRAINING.spec(values));
        Optional<DecoderShape> shape = problems.collect(() -> shape(values));
        problems.throwIfAny();
        return shape.orElseThrow().planned();
    }

    private static void checkData(SettingValues values, Problems problems) {
        List.of("data.batch", "data.sequence", "data.validationBatches")
                .forEach(path -> problems.check(() -> values.requireIn(path, 1, 1 << 20)));
        problems.check(() -> values.requireIn(LOGITS, 1, 999_999_999));
    }

    @Override
    public String ownQuantizer(LinearLayer layer) {
        return layer.site().name().equals(DecoderShape.HEAD) ? "fp32" : "";
    }

    @Override
    public Task prepare(SettingValues values) {
        layers(values);
        return new LanguageModelTask(
                shape(values),
                text(values),
                values.integer("data.batch"),
                values.integer(SEQUENCE),
                values.integer("data.validationBatches"),
                TRAINING.spec(values),
                new LogitChunks(values.integer(LOGITS)),
                (backend, parameters) -> weights(values)
                        .ifPresent(file -> PretrainedWeights.load(file, values.asMap(), backend, parameters)));
    }

    @Override
    public void requireData(SettingValues values) {
        weights(values).ifPresent(file -> requireFile(file, WEIGHTS));
        tokenizer(values).ifPresent(file -> requireFile(file, TOKENIZER));
        if (!values.text(DATA).isEmpty() && !Files.exists(values.path(DATA))) {
            throw new NibbleException("%s does not exist, but must be a text file or a folder of them; check %s"
                    .formatted(values.path(DATA), DATA));
        }
    }

    private static void requireFile(Path file, String setting) {
        if (!Files.isRegularFile(file)) {
            throw new NibbleException("%s %s, but must be a file; check %s"
                    .formatted(file, Files.exists(file) ? "is a folder" : "does not exist", setting));
        }
    }

    private static Optional<Path> weights(SettingValues values) {
        return values.text(WEIGHTS).isEmpty() ? Optional.empty() : Optional.of(values.path(WEIGHTS));
    }

    private static TokenText text(SettingValues values) {
        Optional<Path> tokenizer = tokenizer(values);
        if (tokenizer.isPresent()) {
            try (Vocabulary vocabulary = FileVocabulary.open(tokenizer.get())) {
                return TokenFile.of(
                        Path.of(values.text(DATA)), tokenizer.get(), vocabulary, name -> tokens(values, name));
            }
        }
        return values.text(DATA).isEmpty() ? ByteText.bundled() : ByteText.read(values.path(DATA));
    }

    private static Path tokens(SettingValues values, String name) {
        return values.text(TOKENS).isEmpty() ? CacheFolder.of("tokens").resolve(name + ".bin") : values.path(TOKENS);
    }

    private static Optional<Path> tokenizer(SettingValues values) {
        return values.text(TOKENIZER).isEmpty() ? Optional.empty() : Optional.of(values.path(TOKENIZER));
    }

    /** {@return what stands between texts and the model's tokens, owned by the caller} */
    static Vocabulary vocabulary(SettingValues values) {
        return tokenizer(values).<Vocabulary>map(FileVocabulary::open).orElseGet(ByteVocabulary::new);
    }

    /** {@return longest sequence that the model has seen} */
    static int context(SettingValues values) {
        return values.integer(SEQUENCE);
    }

    /** Adds to a checkpoint's settings what one says that knows no {@code model.gelu}: the exact GELU was the only one. */
    static void complete(SortedMap<String, String> settings) {
        settings.putIfAbsent(GELU, EXACT);
    }

    /**
     * Adds to what is compared what a checkpoint says that knows no {@code model.logitsElements}: all logits were held at once. Those of
     * bytes are as many as by default.
     */
    static void completeLogits(SortedMap<String, String> settings) {
        boolean bytes = settings.getOrDefault(TOKENIZER, "").isEmpty();
        settings.putIfAbsent(LOGITS, bytes ? String.valueOf(LogitChunks.DEFAULT.elements()) : ALL_LOGITS);
    }

    /** Takes away what a checkpoint may be without: see {@link #complete}. A llama has no GELU. */
    static void reduce(SortedMap<String, String> settings) {
        if (!settings.getOrDefault(STYLE, "").equals("gpt2") || EXACT.equals(settings.get(GELU))) {
            settings.remove(GELU);
        }
    }

    /** {@return sizes of the model} */
    static DecoderShape shape(SettingValues values) {
        DecoderStyle style = values.choice(STYLE, DecoderStyle.class);
        Gelu gelu = values.choice(GELU, Gelu.class);
        boolean gpt2 = style == DecoderStyle.GPT2;
        int width = values.integer("model.width");
        int hidden = values.integer("model.hidden");
        return new DecoderShape(
                style,
                gpt2 ? MlpKind.of(gelu) : MlpKind.SWIGLU,
                tokenizer(values).map(FileVocabulary::size).orElse(ByteText.VOCABULARY),
                width,
                values.integer("model.heads"),
                hidden == 0 ? usualHidden(gpt2, width) : hidden,
                values.integer("model.layers"),
                gpt2 || values.flag("model.tiedHead"),
                gpt2 ? context(values) : 0,
                new OutlierSpec(values.number("model.outlierRate"), values.number("model.outlierSize")),
                AttentionSetting.isQuantized(values) ? OptionalInt.of(context(values)) : OptionalInt.empty());
    }

    private static int usualHidden(boolean gpt2, int width) {
        return Math.clamp(
                gpt2 ? 4L * width : Math.ceilDiv(8L * width, 3L * HIDDEN_MULTIPLE) * HIDDEN_MULTIPLE,
                0,
                Integer.MAX_VALUE);
    }
}
