package dev.nibble.models.text;

import dev.nibble.error.FormatException;
import dev.nibble.error.NibbleException;
import dev.nibble.models.files.JsonTree;
import dev.nibble.models.files.Sha256;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.TreeSet;

/**
 * Sentences whose words have tags, to train on and to test with.
 *
 * @param train to train on
 * @param test to test with
 * @param tags names of the tags, sorted: a tag's number is its place here
 */
public record TagData(List<List<TaggedWord>> train, List<List<TaggedWord>> test, List<String> tags) {
    /** Copies the lists. */
    public TagData {
        train = List.copyOf(train);
        test = List.copyOf(test);
        tags = List.copyOf(tags);
    }

    /**
     * {@return the sentences of files}
     *
     * @param file to train on; if there is no second one, the last of each five sentences is for testing
     * @param validation to test with
     * @param layout where words and tags are
     * @throws IllegalArgumentException if the ending of a name is unknown
     * @throws FormatException if a file is damaged, or the second has a tag that the first has not
     * @throws NibbleException if a file cannot be read
     */
    public static TagData read(Path file, Optional<Path> validation, TaggedFile.Layout layout) {
        List<List<TaggedWord>> sentences = TaggedFile.read(file, layout);
        TreeSet<String> tags = new TreeSet<>();
        sentences.forEach(sentence -> sentence.forEach(word -> tags.add(word.tag())));
        Optional<List<List<TaggedWord>>> test = validation.map(path -> TaggedFile.read(path, layout));
        for (List<TaggedWord> sentence : test.orElse(List.of())) {
            for (TaggedWord word : sentence) {
                if (!tags.contains(word.tag())) {
                    throw new FormatException("%s, line %d: no tag is named %s in %s; %s"
                            .formatted(
                                    validation.orElse(file),
                                    word.line(),
                                    JsonTree.quoted(word.tag()),
                                    file,
                                    LabelledFile.known(word.tag(), tags)));
                }
            }
        }
        HeldOut<List<TaggedWord>> parts = HeldOut.of(file.toString(), "sentences", sentences, test);
        return new TagData(parts.train(), parts.test(), List.copyOf(tags));
    }

    /** {@return a hash of all words and tags} */
    public String hash() {
        StringBuilder all = new StringBuilder();
        for (List<List<TaggedWord>> part : List.of(train, test)) {
            for (List<TaggedWord> sentence : part) {
                for (TaggedWord word : sentence) {
                    all.append(word.tag()).append('\u0000').append(word.word()).append('\u0001');
                }
                all.append('\u0002');
            }
            all.append('\u0003');
        }
        return Sha256.of(all.toString().getBytes(StandardCharsets.UTF_8));
    }
}
