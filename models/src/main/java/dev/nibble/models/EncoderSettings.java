package dev.nibble.models;

import static dev.nibble.models.Setting.integer;

import dev.nibble.error.FormatException;
import dev.nibble.error.NibbleException;
import dev.nibble.models.encoder.EncoderShape;
import dev.nibble.models.encoder.EncoderWeights;
import dev.nibble.models.encoder.SentenceTask;
import dev.nibble.models.text.ByteTokenizer;
import dev.nibble.models.text.EntityScores;
import dev.nibble.models.text.FileTokenizer;
import dev.nibble.models.text.TextTokenizer;
import dev.nibble.models.text.TokenizedTexts;
import dev.nibble.models.train.Task;
import dev.nibble.models.train.TrainingSpec;
import dev.nibble.spi.LinearLayer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Consumer;

/** The settings {@code model.*} and {@code data.*} that presets with an encoder share. */
final class EncoderSettings {
    private static final String WEIGHTS = "model.weights";
    private static final String TOKENIZER = "model.tokenizer";
    private static final String DATA = "data.path";
    private static final String VALIDATION = "data.validation";
    private static final int SCRATCH_WIDTH = 128;
    private static final int SCRATCH_HIDDEN = 512;
    private static final int SCRATCH_LAYERS = 2;
    private static final int TYPES = 2;

    private EncoderSettings() {}

    /** {@return the settings of the model} */
    static List<Setting> model() {
        return List.of(
                path(WEIGHTS, ".safetensors or .onnx of a BERT-family encoder; empty for a small one from scratch"),
                path(
                        TOKENIZER,
                        "its tokenizer.json; empty for the one beside the weights, or for bytes without weights"),
                integer(
                        "model.heads",
                        0,
                        "attention heads; 0 for those in config.json beside the weights, else 12 where the width is 384, else width / 64"),
                integer("model.width", 0, "features of the residual stream; 0 for those of the weights, or 128"),
                integer(
                        "model.hidden",
                        0,
                        "features between the linear layers of the MLP; 0 for those of the weights, or 512"),
                integer("model.layers", 0, "blocks; 0 for those of the weights, or 2"));
    }

    /** {@return a setting that names a file} */
    static Setting path(String name, String help) {
        return new Setting(name, Setting.Type.PATH, "", help);
    }

    /**
     * {@return the linear layers}
     *
     * @param training the preset's
     * @param least tokens that a text must be allowed to have
     * @param known refuses files with an unknown ending
     * @throws IllegalArgumentException naming every value that does not fit
     */
    static List<LinearLayer> layers(SettingValues values, TrainingSettings training, int least, Consumer<Path> known) {
        Problems problems = new Problems();
        problems.check(() -> values.requireIn("data.batch", 1, 1 << 16));
        problems.check(() -> values.requireIn("data.sequence", least, 1 << 16));
        problems.check(() -> training.spec(values));
        for (String file : List.of(DATA, VALIDATION)) {
            given(values, file).ifPresent(path -> problems.check(() -> known.accept(path)));
        }
        if (validation(values).isPresent() && data(values).isEmpty()) {
            problems.add(
                    "setting data.validation is given, but data.path is not; name the texts to train on with --data");
        }
        Optional<EncoderShape> shape = problems.collect(() -> shape(values));
        problems.throwIfAny();
        return shape.orElseThrow().linears();
    }

    /** {@return the quantizer of a layer that no override matches} */
    static String ownQuantizer(LinearLayer layer) {
        return layer.site().name().equals(EncoderShape.HEAD) ? "fp32" : "";
    }

    /** {@return the file to train on, if one is named} */
    static Optional<Path> data(SettingValues values) {
        return given(values, DATA);
    }

    /** {@return the file to test with, if one is named} */
    static Optional<Path> validation(SettingValues values) {
        return given(values, VALIDATION);
    }

    private static Optional<Path> given(SettingValues values, String setting) {
        return values.text(setting).isEmpty() ? Optional.empty() : Optional.of(values.path(setting));
    }

    /**
     * Looks whether all files are there.
     *
     * @throws NibbleException naming one that is not
     */
    static void requireData(SettingValues values) {
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

    /** Makes tokens of texts. */
    @FunctionalInterface
    interface Tokens {
        TokenizedTexts of(TextTokenizer tokenizer, int most);
    }

    /**
     * Labelled texts, before they are tokens.
     *
     * @param what they are called
     * @param labels names of the classes
     * @param hash hash of the texts
     * @param tagging whether words are classified
     * @param train to train on
     * @param test to test with
     */
    record Texts(String what, List<String> labels, String hash, boolean tagging, Tokens train, Tokens test) {
        private TokenizedTexts read(Tokens part, String why, TextTokenizer tokenizer, int most, List<String> notices) {
            TokenizedTexts read = part.of(tokenizer, most);
            if (read.count() == 0) {
                throw new FormatException(
                        "the tokenizer makes no token of any word of the %s %s; is it that of the weights?"
                                .formatted(what, why));
            }
            read.loss(what + " " + why, most).ifPresent(notices::add);
            return read;
        }
    }

    /**
     * {@return the task}
     *
     * @param training the schedule
     * @throws IllegalArgumentException if model and texts do not fit
     */
    static Task task(SettingValues values, TrainingSpec training, Texts texts) {
        requireLabels(values, texts.labels(), texts.what());
        int most = values.integer("data.sequence");
        EncoderShape shape = shape(values);
        try (TextTokenizer tokenizer = tokenizer(values, most)) {
            List<String> notices = new ArrayList<>();
            TokenizedTexts train = texts.read(texts.train(), "to train on", tokenizer, most, notices);
            TokenizedTexts test = texts.read(texts.test(), "to test with", tokenizer, most, notices);
            requireVocabulary(shape, Math.max(train.vocabulary(), test.vocabulary()));
            if (texts.tagging() && !new EntityScores(texts.labels()).hasSpans()) {
                notices.add(
                        "the tags mark no entities, which O, B-PER and I-PER would do, so that entities are not scored");
            }
            Optional<Path> weights = given(values, WEIGHTS);
            weights.filter(file -> hasHead(file, texts.labels()))
                    .ifPresent(
                            file -> notices.add("the head begins as that in " + file + ", whose labels are the same"));
            return new SentenceTask(
                    shape,
                    weights,
                    tokenizerFile(values),
                    train,
                    test,
                    texts.hash(),
                    texts.labels(),
                    texts.tagging(),
                    notices,
                    values.integer("data.batch"),
                    training);
        }
    }

    private static boolean hasHead(Path file, List<String> labels) {
        try (EncoderWeights weights = EncoderWeights.open(file)) {
            return weights.hasHead(labels);
        }
    }

    private static void requireLabels(SettingValues values, List<String> labels, String what) {
        int wanted = values.integer("data.classes");
        if (labels.size() != wanted) {
            List<String> shown = labels.subList(0, Math.min(10, labels.size()));
            throw new IllegalArgumentException("setting data.classes is %d, but the %s have %d labels: %s"
                    .formatted(wanted, what, labels.size(), shown));
        }
    }

    private static void requireVocabulary(EncoderShape shape, int needed) {
        if (needed > shape.vocabulary()) {
            throw new IllegalArgumentException(
                    "the tokenizer made token %d, but the model has %d; are weights and tokenizer of one model?"
                            .formatted(needed - 1, shape.vocabulary()));
        }
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
            EncoderShape shape = weights.shape(orElse(values.integer("model.heads"), weights.heads()), classes);
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
                orElse(values.integer("model.heads"), EncoderShape.usualHeads(width)),
                orElse(values.integer("model.hidden"), SCRATCH_HIDDEN),
                orElse(values.integer("model.layers"), SCRATCH_LAYERS),
                classes);
    }

    private static int orElse(int value, int other) {
        return value == 0 ? other : value;
    }
}
