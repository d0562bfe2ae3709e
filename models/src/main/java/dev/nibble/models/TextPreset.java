package dev.nibble.models;

import dev.nibble.models.data.ByteText;
import dev.nibble.models.layers.LlamaShape;
import dev.nibble.models.train.LanguageModelTask;
import dev.nibble.models.train.Schedule;
import dev.nibble.models.train.Task;
import dev.nibble.models.train.TrainingSpec;
import dev.nibble.spi.AdamW;
import dev.nibble.spi.LinearLayer;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.List;

/**
 * A byte-level Llama-style language model on a public-domain text. A step has 2048 tokens, and the input of every
 * projection at least 32 blocks of 128x128.
 */
final class TextPreset implements Preset {
    private static final AdamW OPTIMIZER = new AdamW(0.9f, 0.95f, 1e-8f, 0.1f);
    private static final double FLOOR = 0.1; // share of the learning rate that is left at the end

    @Override
    public String name() {
        return "text";
    }

    @Override
    public String description() {
        return "byte-level Llama-style language model on Moby-Dick, or on a text of your own (data.path)";
    }

    @Override
    public List<Setting> settings() {
        return List.of(
                integer("model.width", 256, "features of the residual stream"),
                integer("model.heads", 4, "attention heads"),
                integer("model.hidden", 704, "features of gate and of up in the feed-forward layer"),
                integer("model.layers", 4, "decoder blocks"),
                new Setting(
                        "model.tiedHead", Setting.Type.BOOLEAN, "false", "whether the head uses the embedding's table"),
                new Setting("data.path", Setting.Type.TEXT, "", "a text file; empty for the bundled Moby-Dick"),
                integer("data.batch", 16, "sequences in a micro-batch"),
                integer("data.sequence", 128, "tokens in a sequence"),
                integer("data.validationBatches", 8, "batches of held-out text in an evaluation"),
                integer("train.steps", 100, "optimizer steps, unless --steps is given"),
                number("train.learningRate", "0.0015", "largest learning rate"),
                integer("train.warmup", 10, "steps until the learning rate is reached"),
                number("train.weightDecay", "0.1", "decoupled weight decay of the linear layers"),
                number("train.clip", "1.0", "largest norm of all gradients that is not scaled down"),
                integer("train.microBatches", 1, "batches whose gradients are added up in a step"),
                integer("train.evaluateEvery", 0, "steps between evaluations; 0 for one at the end only"),
                integer("train.telemetryEvery", 10, "steps between records of how inputs were quantized; 0 for none"));
    }

    private static Setting integer(String path, int value, String help) {
        return new Setting(path, Setting.Type.INTEGER, String.valueOf(value), help);
    }

    private static Setting number(String path, String value, String help) {
        return new Setting(path, Setting.Type.NUMBER, value, help);
    }

    @Override
    public List<LinearLayer> layers(SettingValues values) {
        checkData(values);
        training(values);
        return shape(values).linears();
    }

    private static void checkData(SettingValues values) {
        for (String path : List.of("data.batch", "data.sequence", "data.validationBatches")) {
            if (values.integer(path) < 1 || values.integer(path) > 1 << 20) {
                throw new IllegalArgumentException(
                        "setting " + path + " is " + values.integer(path) + ", but must be in 1..1048576");
            }
        }
    }

    @Override
    public String ownQuantizer(LinearLayer layer) {
        return layer.site().name().equals(LlamaShape.HEAD) ? "fp32" : "";
    }

    @Override
    public Task prepare(SettingValues values) {
        checkData(values);
        return new LanguageModelTask(
                shape(values),
                text(values.text("data.path")),
                values.integer("data.batch"),
                values.integer("data.sequence"),
                values.integer("data.validationBatches"),
                training(values));
    }

    private static ByteText text(String path) {
        try {
            return path.isEmpty() ? ByteText.bundled() : ByteText.read(Path.of(path));
        } catch (InvalidPathException e) {
            throw new IllegalArgumentException("setting data.path is '" + path + "', but must be a path", e);
        }
    }

    private static LlamaShape shape(SettingValues values) {
        return new LlamaShape(
                ByteText.VOCABULARY,
                values.integer("model.width"),
                values.integer("model.heads"),
                values.integer("model.hidden"),
                values.integer("model.layers"),
                values.flag("model.tiedHead"));
    }

    private static TrainingSpec training(SettingValues values) {
        return new TrainingSpec(
                values.integer("train.steps"),
                values.integer("train.microBatches"),
                new Schedule(values.number("train.learningRate"), values.integer("train.warmup"), FLOOR),
                new AdamW(OPTIMIZER.beta1(), OPTIMIZER.beta2(), OPTIMIZER.epsilon(), (float)
                        values.number("train.weightDecay")),
                (float) values.number("train.clip"),
                values.integer("train.evaluateEvery"),
                values.integer("train.telemetryEvery"));
    }
}
