package dev.nibble.models;

import static dev.nibble.models.Setting.integer;

import dev.nibble.models.text.LabelledFile;
import dev.nibble.models.text.TextData;
import dev.nibble.models.text.TokenizedTexts;
import dev.nibble.models.train.Task;
import dev.nibble.models.train.TaskKind;
import dev.nibble.spi.LinearLayer;
import java.util.ArrayList;
import java.util.List;

/** A BERT-family encoder that learns to classify texts: a pretrained one from a file, or a small one from scratch. */
final class ClassifyPreset implements Preset {
    private static final TrainingSettings TRAINING = new TrainingSettings(120, "0.0001", 12, "0.01");

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
        List<Setting> own = new ArrayList<>(EncoderSettings.model());
        own.addAll(List.of(
                EncoderSettings.path(
                        "data.path",
                        "labelled texts: .csv, .tsv, .jsonl; the same as --data; empty for the bundled mails"),
                EncoderSettings.path("data.validation", "texts to test with; empty for one of five of data.path"),
                new Setting("data.textColumn", Setting.Type.TEXT, LabelledFile.TEXT, "column of the texts"),
                new Setting("data.labelColumn", Setting.Type.TEXT, LabelledFile.LABEL, "column of the labels"),
                integer("data.classes", 2, "classes of the labels"),
                integer("data.sequence", 64, "tokens of a text that are kept"),
                integer("data.batch", 16, "texts in a micro-batch")));
        return TRAINING.after(own.toArray(Setting[]::new));
    }

    @Override
    public List<LinearLayer> layers(SettingValues values) {
        return EncoderSettings.layers(values, TRAINING, 2, LabelledFile::requireKnown);
    }

    @Override
    public String ownQuantizer(LinearLayer layer) {
        return EncoderSettings.ownQuantizer(layer);
    }

    @Override
    public void requireData(SettingValues values) {
        EncoderSettings.requireData(values);
    }

    @Override
    public Task prepare(SettingValues values) {
        requireData(values);
        TextData data = EncoderSettings.data(values)
                .map(path -> TextData.read(
                        path,
                        EncoderSettings.validation(values),
                        values.text("data.textColumn"),
                        values.text("data.labelColumn")))
                .orElseGet(TextData::bundled);
        EncoderSettings.Texts texts = new EncoderSettings.Texts(
                "texts",
                data.classes(),
                data.hash(),
                false,
                (tokenizer, most) -> TokenizedTexts.of(data.train(), data.classes(), tokenizer, most),
                (tokenizer, most) -> TokenizedTexts.of(data.test(), data.classes(), tokenizer, most));
        return EncoderSettings.task(values, TRAINING.spec(values), texts);
    }
}
