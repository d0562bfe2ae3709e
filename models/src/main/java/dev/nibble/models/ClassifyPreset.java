package dev.nibble.models;

import static dev.nibble.models.Setting.integer;

import dev.nibble.error.NibbleException;
import dev.nibble.models.encoder.EncoderShape;
import dev.nibble.models.encoder.EncoderWeights;
import dev.nibble.models.encoder.SentenceTask;
import dev.nibble.models.text.ByteTokenizer;
import dev.nibble.models.text.FileTokenizer;
import dev.nibble.models.text.LabelledFile;
import dev.nibble.models.text.TextData;
import dev.nibble.models.text.TextTokenizer;
import dev.nibble.models.text.TokenizedTexts;
import dev.nibble.models.train.Task;
import dev.nibble.models.train.TaskKind;
import dev.nibble.models.train.TrainingSpec;
import dev.nibble.spi.LinearLayer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/** A BERT-family encoder that learns to classify texts: a pretrained one from a file, or a small one from scratch. */
final class ClassifyPreset implements Preset {
    private static final TrainingSettings TRAINING = new TrainingSettings(120, "0.0001", 12, "0.01");
    private static final String WEIGHTS = "model.weights";
    private static final String TOKENIZER = "model.tokenizer";
    private static final String DATA = "data.path";
    private static final String VALIDATION = "data.validation";
    private static final int SCRATCH_WIDTH = 128;
    private static final int SCRATCH_HIDDEN = 512;
    private static final int SCRATCH_LAYERS = 2;
    private static final int TYPES = 2;
    private static final int NARROW = 384; // width of the small encoders that have twelve heads
    private static final int NARROW_HEADS = 12;
    private static final int HEAD_SIZE = 64; // of all others

    @Override
    public String name() {
        return "classify";
    }

    @Override
    public String description() {
        return "BERT-family encoder on labelled texts: pretrained (model.weights) or from scratch; mails, or a file of your own";
    }

    @Override
    public TaskKind kind() {
        return TaskKind.CLASSIFICATION;
    }

    @Override
    public List<Setting> settings() {
        return TRAINING.after(
                path(WEIGHTS, ".safetensors or .onnx of a BERT-family encoder; empty for a small one from scratch"),
                path(
                        TOKENIZER,
                        "its tokenizer.json; empty for the one beside the weights, or for bytes without weights"),
                integer("model.heads", 0, "attention heads; 0 for 12 where the width is 384, else width / 64"),
                integer("model.width", 0, "features of the residual stream; 0 for those of the weights, or 128"),
                integer(
                        "model.hidden",
                        0,
                        "features between the linear layers of the MLP; 0 for those of the weights, or 512"),
                integer("model.layers", 0, "blocks; 0 for those of the weights, or 2"),
                path(DATA, "labelled texts: .csv, .tsv, .jsonl; the same as --data; empty for the bundled mails"),
                path(VALIDATION, "texts to test with; empty for one of five of data.path"),
                new Setting("data.textColumn", Setting.Type.TEXT, LabelledFile.TEXT, "column of the texts"),
                new Setting("data.labelColumn", Setting.Type.TEXT, LabelledFile.LABEL, "column of the labels"),
                integer("data.classes", 2, "classes of the labels"),
                integer("data.sequence", 64, "tokens of a text that are kept"),
                integer("data.batch", 16, "texts in a micro-batch"));
    }

    private static Setting path(String name, String help) {
        return new Setting(name, Setting.Type.PATH, "", help);
    }

    @Override
    public List<LinearLayer> layers(SettingValues values) {
        Problems problems = new Problems();
        problems.check(() -> values.requireIn("data.batch", 1, 1 << 16));
        problems.check(() -> values.requireIn("data.sequence", 2, 1 << 16));
        problems.check(() -> TRAINING.spec(values));
        for (String file : List.of(DATA, VALIDATION)) {
            given(values, file).ifPresent(path -> problems.check(() -> LabelledFile.requireKnown(path)));
        }
        if (given(values, VALIDATION).isPresent() && given(values, DATA).isEmpty()) {
            problems.add(
                    "setting data.validation is given, but data.path is not; name the texts to train on with --data");
        }
        Optional<EncoderShape> shape = problems.collect(() -> shape(values));
        problems.throwIfAny();
        return shape.orElseThrow().linears();
    }

    @Override
    public String ownQuantizer(LinearLayer layer) {
        return layer.site().name().equals(EncoderShape.HEAD) ? "fp32" : "";
    }

    @Override
    public void requireData(SettingValues values) {
        for (String file : List.of(DATA, VALIDATION)) {
            given(values, file).ifPresent(path -> requireFile(path, file));
        }
        tokenizerFile(values).ifPresent(path -> requireFile(path, TOKENIZER));
    }

    private static void requireFile(Path path, String setting) {
        if (!Files.isRegularFile(path)) {
            throw new NibbleException("%s %s, but must be a file; check %s"
                    .formatted(path, Files.exists(path) ? "is a folder" : "does not exist", setting));
        }
    }

    @Override
    public Task prepare(SettingValues values) {
        requireData(values);
        TrainingSpec training = TRAINING.spec(values);
        TextData data = data(values);
        int wanted = values.integer("data.classes");
        if (data.classes().size() != wanted) {
            List<String> shown =
                    data.classes().subList(0, Math.min(10, data.classes().size()));
            throw new IllegalArgumentException("setting data.classes is %d, but the texts have %d labels: %s"
                    .formatted(wanted, data.classes().size(), shown));
        }
        int most = values.integer("data.sequence");
        EncoderShape shape = shape(values);
        try (TextTokenizer tokenizer = tokenizer(values, most)) {
            TokenizedTexts train = TokenizedTexts.of(data.train(), data.classes(), tokenizer, most);
            TokenizedTexts test = TokenizedTexts.of(data.test(), data.classes(), tokenizer, most);
            int needed = Math.max(train.vocabulary(), test.vocabulary());
            if (needed > shape.vocabulary()) {
                throw new IllegalArgumentException(
                        "the tokenizer made token %d, but the model has %d; are weights and tokenizer of one model?"
                                .formatted(needed - 1, shape.vocabulary()));
            }
            return new SentenceTask(
                    shape, given(values, WEIGHTS), train, test, data.hash(), values.integer("data.batch"), training);
        }
    }

    private static TextData data(SettingValues values) {
        return given(values, DATA)
                .map(path -> TextData.read(
                        path,
                        given(values, VALIDATION),
                        values.text("data.textColumn"),
                        values.text("data.labelColumn")))
                .orElseGet(TextData::bundled);
    }

    private static Optional<Path> given(SettingValues values, String setting) {
        return values.text(setting).isEmpty() ? Optional.empty() : Optional.of(values.path(setting));
    }

    private static Optional<Path> tokenizerFile(SettingValues values) {
        return given(values, TOKENIZER)
                .or(() -> given(values, WEIGHTS).map(weights -> weights.resolveSibling("tokenizer.json")));
    }

    private static TextTokenizer tokenizer(SettingValues values, int most) {
        Optional<Path> file = tokenizerFile(values);
        return file.isPresent() ? FileTokenizer.open(file.get(), most) : new ByteTokenizer();
    }

    private static EncoderShape shape(SettingValues values) {
        int classes = values.integer("data.classes");
        Optional<Path> weights = given(values, WEIGHTS);
        EncoderShape shape = weights.isPresent() ? shape(values, weights.get(), classes) : scratch(values, classes);
        if (values.integer("data.sequence") > shape.positions()) {
            throw new IllegalArgumentException("setting data.sequence is %d, but the model has %d positions"
                    .formatted(values.integer("data.sequence"), shape.positions()));
        }
        return shape;
    }

    private static EncoderShape shape(SettingValues values, Path file, int classes) {
        try (EncoderWeights weights = EncoderWeights.open(file)) {
            int width = weights.width();
            EncoderShape shape = weights.shape(heads(values, width), classes);
            requireSame(values, "model.width", shape.width(), file);
            requireSame(values, "model.hidden", shape.hidden(), file);
            requireSame(values, "model.layers", shape.layers(), file);
            return shape;
        }
    }

    private static void requireSame(SettingValues values, String setting, int there, Path file) {
        int wanted = values.integer(setting);
        if (wanted != 0 && wanted != there) {
            throw new IllegalArgumentException(
                    "setting %s is %d, but %s has %d; leave it at 0".formatted(setting, wanted, file, there));
        }
    }

    private static EncoderShape scratch(SettingValues values, int classes) {
        if (given(values, TOKENIZER).isPresent()) {
            throw new IllegalArgumentException(
                    "setting model.tokenizer is given, but model.weights is not; a model from scratch reads bytes");
        }
        int width = orElse(values.integer("model.width"), SCRATCH_WIDTH);
        return new EncoderShape(
                ByteTokenizer.VOCABULARY,
                Math.max(2, values.integer("data.sequence")),
                TYPES,
                width,
                heads(values, width),
                orElse(values.integer("model.hidden"), SCRATCH_HIDDEN),
                orElse(values.integer("model.layers"), SCRATCH_LAYERS),
                classes);
    }

    private static int heads(SettingValues values, int width) {
        return orElse(values.integer("model.heads"), width == NARROW ? NARROW_HEADS : Math.max(1, width / HEAD_SIZE));
    }

    private static int orElse(int value, int other) {
        return value == 0 ? other : value;
    }
}
