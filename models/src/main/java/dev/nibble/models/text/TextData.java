package dev.nibble.models.text;

import dev.nibble.error.FormatException;
import dev.nibble.error.NibbleException;
import dev.nibble.models.files.Sha256;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.TreeSet;

/**
 * Labelled texts to train on and to test with.
 *
 * @param train to train on
 * @param test to test with
 * @param classes names of the classes, sorted: a label's number is its place here
 */
public record TextData(List<LabelledText> train, List<LabelledText> test, List<String> classes) {
    private static final String BUNDLED = "mail.csv";

    /** Copies the lists. */
    public TextData {
        train = List.copyOf(train);
        test = List.copyOf(test);
        classes = List.copyOf(classes);
    }

    /** {@return the texts that are part of this module: subjects and first words of mails, spam or ham} */
    public static TextData bundled() {
        try (InputStream in = TextData.class.getResourceAsStream(BUNDLED)) {
            if (in == null) {
                throw new NibbleException("the bundled texts " + BUNDLED
                        + " are missing from module dev.nibble.models; build it again or give data.path");
            }
            List<LabelledText> rows =
                    LabelledFile.parse(BUNDLED, in.readAllBytes(), LabelledFile.TEXT, LabelledFile.LABEL);
            return of(BUNDLED, rows, Optional.empty());
        } catch (IOException e) {
            throw new NibbleException("the bundled texts " + BUNDLED + " cannot be read: " + e.getMessage(), e);
        }
    }

    /**
     * {@return the texts of files}
     *
     * @param file to train on; if there is no second one, the last of each five texts is for testing
     * @param validation to test with
     * @param textColumn where the texts are
     * @param labelColumn where the labels are
     * @throws IllegalArgumentException if the ending of a name is unknown
     * @throws FormatException if a file is damaged, or the second has a label that the first has not
     * @throws NibbleException if a file cannot be read
     */
    public static TextData read(Path file, Optional<Path> validation, String textColumn, String labelColumn) {
        List<LabelledText> rows = LabelledFile.read(file, textColumn, labelColumn);
        Optional<List<LabelledText>> test = validation.map(path -> LabelledFile.read(path, textColumn, labelColumn));
        TextData data = of(file.toString(), rows, test);
        for (LabelledText text : data.test()) {
            if (!data.classes().contains(text.label())) {
                throw new FormatException("%s, line %d, column %s is '%s', but %s has the labels %s"
                        .formatted(
                                validation.orElse(file), text.line(), labelColumn, text.label(), file, data.classes()));
            }
        }
        return data;
    }

    private static TextData of(String name, List<LabelledText> rows, Optional<List<LabelledText>> test) {
        TreeSet<String> classes = new TreeSet<>();
        rows.forEach(row -> classes.add(row.label()));
        HeldOut<LabelledText> parts = HeldOut.of(name, "texts", rows, test);
        return new TextData(parts.train(), parts.test(), List.copyOf(classes));
    }

    /** {@return a hash of all texts and labels} */
    public String hash() {
        StringBuilder all = new StringBuilder();
        for (List<LabelledText> part : List.of(train, test)) {
            for (LabelledText text : part) {
                all.append(text.label()).append('\u0000').append(text.text()).append('\u0001');
            }
            all.append('\u0002');
        }
        return Sha256.of(all.toString().getBytes(StandardCharsets.UTF_8));
    }
}
