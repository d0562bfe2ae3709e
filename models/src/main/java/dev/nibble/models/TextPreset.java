package dev.nibble.models;

import static dev.nibble.models.Setting.integer;
import static dev.nibble.models.Setting.number;

import dev.nibble.models.data.ByteText;
import dev.nibble.models.layers.LlamaShape;
import dev.nibble.models.layers.OutlierSpec;
import dev.nibble.models.train.LanguageModelTask;
import dev.nibble.models.train.Task;
import dev.nibble.models.train.TaskKind;
import dev.nibble.spi.LinearLayer;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;

/**
 * A byte-level Llama-style language model on a public-domain text. A step has 2048 tokens, and the input of every
 * projection at least 32 blocks of 128x128.
 */
final class TextPreset implements Preset {
    private static final TrainingSettings TRAINING = new TrainingSettings(100, "0.0015", 10, "0.1");

    @Override
    public String name() {
        return "text";
    }

    @Override
    public String description() {
        return "byte-level Llama-style language model on Moby-Dick, or on a text of your own (data.path)";
    }

    @Override
    public TaskKind kind() {
        return TaskKind.LANGUAGE_MODEL;
    }

    @Override
    public List<Setting> settings() {
        return TRAINING.after(
                integer("model.width", 256, "features of the residual stream"),
                integer("model.heads", 4, "attention heads"),
                integer("model.hidden", 704, "features of gate and of up in the feed-forward layer"),
                integer("model.layers", 4, "decoder blocks"),
                new Setting(
                        "model.tiedHead", Setting.Type.BOOLEAN, "false", "whether the head uses the embedding's table"),
                AttentionSetting.setting(),
                number(
                        "model.outlierRate",
                        "0",
                        "share of the inputs of mlp.gateUp and mlp.down that gets an outlier, which cancels in exact arithmetic"),
                number("model.outlierSize", "1000", "magnitude of these outliers"),
                new Setting("data.path", Setting.Type.PATH, "", "a text file; empty for the bundled Moby-Dick"),
                integer("data.batch", 16, "sequences in a micro-batch"),
                integer("data.sequence", 128, "tokens in a sequence"),
                integer("data.validationBatches", 8, "batches of held-out text in an evaluation"));
    }

    @Override
    public List<LinearLayer> layers(SettingValues values) {
        Problems problems = new Problems();
        checkData(values, problems);
        problems.check(() -> TRAINING.spec(values));
        Optional<LlamaShape> shape = problems.collect(() -> shape(values));
        problems.throwIfAny();
        return shape.orElseThrow().planned();
    }

    private static void checkData(SettingValues values, Problems problems) {
        List.of("data.batch", "data.sequence", "data.validationBatches")
                .forEach(path -> problems.check(() -> values.requireIn(path, 1, 1 << 20)));
    }

    @Override
    public String ownQuantizer(LinearLayer layer) {
        return layer.site().name().equals(LlamaShape.HEAD) ? "fp32" : "";
    }

    @Override
    public Task prepare(SettingValues values) {
        layers(values);
        return new LanguageModelTask(
                shape(values),
                values.text("data.path").isEmpty() ? ByteText.bundled() : ByteText.read(values.path("data.path")),
                values.integer("data.batch"),
                values.integer("data.sequence"),
                values.integer("data.validationBatches"),
                TRAINING.spec(values));
    }

    private static LlamaShape shape(SettingValues values) {
        return new LlamaShape(
                ByteText.VOCABULARY,
                values.integer("model.width"),
                values.integer("model.heads"),
                values.integer("model.hidden"),
                values.integer("model.layers"),
                values.flag("model.tiedHead"),
                new OutlierSpec(values.number("model.outlierRate"), values.number("model.outlierSize")),
                AttentionSetting.isQuantized(values)
                        ? OptionalInt.of(values.integer("data.sequence"))
                        : OptionalInt.empty());
    }
}
