package dev.nibble.models.text;

import dev.nibble.error.FormatException;
import dev.nibble.error.NibbleException;
import dev.nibble.models.files.JsonTree;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * Reads sentences whose words have tags, in UTF-8: columns as in the shared tasks of CoNLL (Tjong Kim Sang and De Meulder 2003,
 * arXiv:cs/0306050), one word a line and an empty line between sentences; or JSON Lines, one sentence a line. The ending of the name says
 * which. Columns are separated by tabs in a line that has one, else by spaces; all lines have equally many. A line that begins with
 * {@code -DOCSTART-} stands between documents and is no word.
 */
public final class TaggedFile {
    private static final List<String> COLUMNS = List.of(".conll", ".bio", ".iob", ".iob2", ".txt", ".tsv");
    private static final List<String> JSON_LINES = List.of(".jsonl", ".ndjson");
    private static final String DOCUMENT = "-DOCSTART-";
    private static final int JSON_DEPTH = 16;

    private final String name;
    private final Layout layout;
    private final List<List<TaggedWord>> sentences = new ArrayList<>();
    private final List<TaggedWord> open = new ArrayList<>(); // the sentence that is being read

    /**
     * Where words and tags are.
     *
     * @param wordColumn number of the column with the words, from 1
     * @param tagColumn number of the column with the tags, from 1; 0 for the last one
     * @param wordsField name of the field with the list of words
     * @param tagsField name of the field with the list of tags
     */
    public record Layout(int wordColumn, int tagColumn, String wordsField, String tagsField) {
        /** Words come first, tags last; the fields are {@code tokens} and {@code tags}. */
        public static final Layout USUAL = new Layout(1, 0, "tokens", "tags");
    }

    private TaggedFile(String name, Layout layout) {
        this.name = name;
        this.layout = layout;
    }

    /**
     * {@return the sentences of a file, in its order}
     *
     * @throws IllegalArgumentException if the name has an unknown ending
     * @throws FormatException if it is damaged or has no such columns or fields: naming file and line
     * @throws NibbleException if it cannot be read
     */
    public static List<List<TaggedWord>> read(Path file, Layout layout) {
        requireKnown(file);
        return parse(file.toString(), TextFile.read(file), layout);
    }

    /**
     * Checks the ending of a name.
     *
     * @throws IllegalArgumentException if it is unknown
     */
    public static void requireKnown(Path file) {
        String path = file.toString();
        if (TextFile.ending(path, COLUMNS).isEmpty()
                && TextFile.ending(path, JSON_LINES).isEmpty()) {
            throw new IllegalArgumentException(
                    "%s has an unknown ending, but must be a file of columns that ends with %s, or of JSON Lines with %s"
                            .formatted(file, String.join(", ", COLUMNS), String.join(" or ", JSON_LINES)));
        }
    }

    /** {@return the sentences in the bytes of a file} See {@link #read}. */
    static List<List<TaggedWord>> parse(String name, byte[] bytes, Layout layout) {
        TaggedFile file = new TaggedFile(name, layout);
        String text = TextFile.decode(name, bytes);
        if (TextFile.ending(name, JSON_LINES).isEmpty()) {
            file.columns(text);
        } else {
            file.objects(text);
        }
        if (file.sentences.isEmpty()) {
            throw new FormatException(name + " holds no sentences");
        }
        return file.sentences;
    }

    private void columns(String text) {
        long line = 0;
        int count = 0; // of columns; 0 before the first word
        for (String row : text.split("\r?\n", -1)) {
            line++;
            if (row.isBlank() || row.startsWith(DOCUMENT)) {
                endSentence();
                continue;
            }
            String[] cells =
                    row.indexOf('\t') >= 0 ? row.split("\t", -1) : row.strip().split(" +", -1);
            if (count == 0) {
                count = cells.length;
                requireColumns(count, line);
            }
            if (cells.length != count) {
                throw new FormatException(
                        "%s, line %d has %d columns, but the first word has %d; each word needs its tag"
                                .formatted(name, line, cells.length, count));
            }
            add(
                    cells[layout.wordColumn() - 1],
                    cells[layout.tagColumn() == 0 ? count - 1 : layout.tagColumn() - 1],
                    line);
        }
        endSentence();
    }

    private void requireColumns(int count, long line) {
        int needed = Math.max(2, Math.max(layout.wordColumn(), layout.tagColumn()));
        if (count < needed) {
            throw new FormatException("%s, line %d has %d columns, but needs at least %d: a word and its tag"
                    .formatted(name, line, count, needed));
        }
    }

    private void add(String word, String tag, long line) {
        if (word.isBlank() || tag.isBlank()) {
            throw new FormatException(
                    "%s, line %d has an empty %s".formatted(name, line, word.isBlank() ? "word" : "tag"));
        }
        open.add(new TaggedWord(word, tag.strip(), line));
    }

    private void endSentence() {
        if (!open.isEmpty()) {
            sentences.add(List.copyOf(open));
            open.clear();
        }
    }

    private void objects(String text) {
        long line = 0;
        for (String row : text.split("\n", -1)) {
            line++;
            if (row.isBlank()) {
                continue;
            }
            String what = "%s, line %d".formatted(name, line);
            Map<String, Object> fields = JsonTree.parse(what, row.getBytes(StandardCharsets.UTF_8), JSON_DEPTH);
            List<String> words = texts(what, fields, layout.wordsField());
            List<String> tags = texts(what, fields, layout.tagsField());
            if (words.size() != tags.size() || words.isEmpty()) {
                throw new FormatException("%s has %d words and %d tags, but must have as many of both, at least one"
                        .formatted(what, words.size(), tags.size()));
            }
            for (int i = 0; i < words.size(); i++) {
                add(words.get(i), tags.get(i), line);
            }
            endSentence();
        }
    }

    private static List<String> texts(String what, Map<String, Object> fields, String field) {
        if (!fields.containsKey(field)) {
            throw new FormatException("%s: no field is named '%s'; %s"
                    .formatted(what, field, LabelledFile.known(field, fields.keySet())));
        }
        List<String> texts = new ArrayList<>();
        if (fields.get(field) instanceof List<?> list) {
            for (Object value : list) {
                if (value instanceof String text) {
                    texts.add(text);
                }
            }
            if (texts.size() == list.size()) {
                return texts;
            }
        }
        throw new FormatException("%s, field %s is no list of texts, as in [\"B-PER\", \"O\"]".formatted(what, field));
    }
}
