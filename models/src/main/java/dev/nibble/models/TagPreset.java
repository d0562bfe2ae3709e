package dev.nibble.models;

import static dev.nibble.models.Setting.integer;

import dev.nibble.models.text.TagData;
import dev.nibble.models.text.TaggedFile;
import dev.nibble.models.text.TokenizedTexts;
import dev.nibble.models.train.Task;
import dev.nibble.models.train.TaskKind;
import dev.nibble.spi.LinearLayer;
import java.util.ArrayList;
import java.util.List;

/** A BERT-family encoder that learns the tags of words, such as named entities: a pretrained one from a file, or one from scratch. */
final class TagPreset implements Preset {
    private static final TrainingSettings TRAINING = new TrainingSettings(200, "0.0001", 20, "0.01");
    private static final int CLASSES = 9; // of the four kinds of entities of CoNLL 2003
    private static final int LEAST = 3; // tokens: the first, one of a word, the last

    @Override
    public String name() {
        return "tag";
    }

    @Override
    public String description() {
        return "BERT-family encoder that tags words, such as named entities: CoNLL columns or JSON Lines, in a file that --data names";
    }

    @Override
    public TaskKind kind() {
        return TaskKind.TAGGING;
    }

    @Override
    public List<Setting> settings() {
        List<Setting> own = new ArrayList<>(EncoderSettings.model());
        TaggedFile.Layout usual = TaggedFile.Layout.USUAL;
        own.addAll(List.of(
                EncoderSettings.path(
                        "data.path",
                        "sentences with tags: columns (.conll, .bio, .iob, .iob2, .txt, .tsv) or .jsonl; the same as --data"),
                EncoderSettings.path("data.validation", "sentences to test with; empty for one of five of data.path"),
                integer("data.wordColumn", usual.wordColumn(), "column of the words, from 1"),
                integer("data.tagColumn", usual.tagColumn(), "column of the tags, from 1; 0 for the last one"),
                new Setting("data.wordsField", Setting.Type.TEXT, usual.wordsField(), "field of the words in .jsonl"),
                new Setting("data.tagsField", Setting.Type.TEXT, usual.tagsField(), "field of the tags in .jsonl"),
                integer("data.classes", CLASSES, "tags that there are"),
                integer("data.sequence", 128, "tokens of a sentence that are kept"),
                integer("data.batch", 16, "sentences in a micro-batch")));
        return TRAINING.after(own.toArray(Setting[]::new));
    }

    @Override
    public List<LinearLayer> layers(SettingValues values) {
        Problems problems = new Problems();
        problems.check(() -> values.requireIn("data.wordColumn", 1, 1 << 10));
        problems.check(() -> values.requireIn("data.tagColumn", 0, 1 << 10));
        List<LinearLayer> layers = problems.collect(
                        () -> EncoderSettings.layers(values, TRAINING, LEAST, TaggedFile::requireKnown))
                .orElse(List.of());
        problems.throwIfAny();
        return layers;
    }

    @Override
    public String ownQuantizer(LinearLayer layer) {
        return EncoderSettings.ownQuantizer(layer);
    }

    @Override
    public void requireData(SettingValues values) {
        if (EncoderSettings.data(values).isEmpty()) {
            throw new IllegalArgumentException(
                    "preset tag has no data, but needs a file of sentences with tags; name it with --data FILE");
        }
        EncoderSettings.requireData(values);
    }

    @Override
    public Task prepare(SettingValues values) {
        requireData(values);
        TagData data = TagData.read(
                EncoderSettings.data(values).orElseThrow(),
                EncoderSettings.validation(values),
                new TaggedFile.Layout(
                        values.integer("data.wordColumn"),
                        values.integer("data.tagColumn"),
                        values.text("data.wordsField"),
                        values.text("data.tagsField")));
        EncoderSettings.Texts texts = new EncoderSettings.Texts(
                "sentences",
                data.tags(),
                data.hash(),
                true,
                (tokenizer, most) -> TokenizedTexts.ofWords(data.train(), data.tags(), tokenizer, most),
                (tokenizer, most) -> TokenizedTexts.ofWords(data.test(), data.tags(), tokenizer, most));
        return EncoderSettings.task(values, TRAINING.spec(values), texts);
    }
}
