package dev.nibble.models.text;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.dataformat.csv.CsvFactory;
import com.fasterxml.jackson.dataformat.csv.CsvParser;
import com.fasterxml.jackson.dataformat.csv.CsvSchema;
import dev.nibble.error.FormatException;
import dev.nibble.error.NibbleException;
import dev.nibble.models.files.JsonTree;
import dev.nibble.spi.Names;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;

/**
 * Reads labelled texts: CSV (RFC 4180) and TSV, whose first line names the columns, and JSON Lines, one object a line; all in UTF-8. The
 * ending of the name says which.
 */
public final class LabelledFile {
    /** Column of the texts, unless another one is named. */
    public static final String TEXT = "text";

    /** Column of the labels, unless another one is named. */
    public static final String LABEL = "label";

    private static final int JSON_DEPTH = 16;
    private static final int MOST_SHOWN = 8; // names in a message
    private static final int LONGEST_PROBLEM = 200; // characters

    private final String name;
    private final String textColumn;
    private final String labelColumn;
    private final List<LabelledText> rows = new ArrayList<>();

    private LabelledFile(String name, String textColumn, String labelColumn) {
        this.name = name;
        this.textColumn = textColumn;
        this.labelColumn = labelColumn;
    }

    /**
     * {@return the texts of a file, in its order}
     *
     * @param file its name ends with .csv, .tsv, .jsonl or .ndjson
     * @param textColumn name of the column or field with the texts
     * @param labelColumn name of the column or field with the labels
     * @throws IllegalArgumentException if the name ends in another way
     * @throws FormatException if it is damaged or has no such columns: naming file, line and column
     * @throws NibbleException if it cannot be read
     */
    public static List<LabelledText> read(Path file, String textColumn, String labelColumn) {
        requireKnown(file);
        return parse(file.toString(), TextFile.read(file), textColumn, labelColumn);
    }

    /**
     * Checks the ending of a name.
     *
     * @throws IllegalArgumentException if it is unknown
     */
    public static void requireKnown(Path file) {
        if (kind(file.toString()).isEmpty()) {
            throw new IllegalArgumentException(
                    file + " has an unknown ending, but must be a file that ends with .csv, .tsv, .jsonl or .ndjson");
        }
    }

    private static String kind(String name) {
        return TextFile.ending(name, List.of(".csv", ".tsv", ".jsonl", ".ndjson"));
    }

    /** {@return the texts in the bytes of a file} See {@link #read}. */
    static List<LabelledText> parse(String name, byte[] bytes, String textColumn, String labelColumn) {
        LabelledFile file = new LabelledFile(name, textColumn, labelColumn);
        String text = TextFile.decode(name, bytes);
        switch (kind(name)) {
            case ".csv" -> file.separated(text, CsvSchema.emptySchema());
            case ".tsv" ->
                file.separated(
                        text, CsvSchema.emptySchema().withColumnSeparator('\t').withoutQuoteChar());
            default -> file.lines(text);
        }
        if (file.rows.isEmpty()) {
            throw new FormatException(name + " holds no texts");
        }
        return file.rows;
    }

    private void separated(String text, CsvSchema schema) {
        long line = 1;
        try (CsvParser parser = new CsvFactory().createParser(text)) {
            parser.setSchema(schema);
            List<String> header = List.of();
            List<String> values = new ArrayList<>();
            for (JsonToken token = parser.nextToken(); token != null; token = parser.nextToken()) {
                if (token == JsonToken.VALUE_STRING) {
                    line = values.isEmpty() ? parser.currentTokenLocation().getLineNr() : line;
                    values.add(parser.getText());
                } else if (token == JsonToken.END_ARRAY) {
                    if (header.isEmpty()) {
                        header = header(values, line);
                    } else if (!isEmptyLine(values)) {
                        add(header, values, line);
                    }
                    values.clear();
                }
            }
        } catch (JsonProcessingException e) {
            throw malformed(e.getLocation() == null ? line : e.getLocation().getLineNr(), e.getOriginalMessage(), e);
        } catch (IOException e) {
            throw malformed(line, e.getMessage(), e);
        }
    }

    private static boolean isEmptyLine(List<String> values) {
        return values.size() == 1 && values.getFirst().isEmpty();
    }

    /** {@return the names of the columns; none of an empty line} */
    private List<String> header(List<String> values, long line) {
        if (isEmptyLine(values)) {
            return List.of();
        }
        requireColumn(values, textColumn, line);
        requireColumn(values, labelColumn, line);
        return List.copyOf(values);
    }

    private FormatException malformed(long line, String problem, Exception cause) {
        FormatException damaged =
                new FormatException("%s, line %d: %s".formatted(name, line, JsonTree.line(problem, LONGEST_PROBLEM)));
        damaged.initCause(cause);
        return damaged;
    }

    /** {@return what there is instead of a name, as a message can show it: a damaged file may have any names} */
    static String known(String name, Collection<String> names) {
        List<String> shown =
                names.stream().limit(MOST_SHOWN).map(JsonTree::line).toList();
        String more = names.size() > shown.size() ? " and " + (names.size() - shown.size()) + " more" : "";
        return Names.suggest(name, shown) + more;
    }

    private void requireColumn(List<String> header, String column, long line) {
        if (!header.contains(column)) {
            throw new FormatException("%s, line %d: no column is named '%s'; %s; the first line must name the columns"
                    .formatted(name, line, column, known(column, header)));
        }
    }

    private void add(List<String> header, List<String> values, long line) {
        if (values.size() != header.size()) {
            throw new FormatException("%s, line %d has %d columns, but the first line names %d"
                    .formatted(name, line, values.size(), header.size()));
        }
        add(values.get(header.indexOf(textColumn)), values.get(header.indexOf(labelColumn)), line);
    }

    private void add(String text, String label, long line) {
        if (text.isBlank() || label.isBlank()) {
            throw new FormatException(
                    "%s, line %d, column %s is empty".formatted(name, line, text.isBlank() ? textColumn : labelColumn));
        }
        rows.add(new LabelledText(text, label, line));
    }

    private void lines(String text) {
        long line = 0;
        for (String row : text.split("\n", -1)) {
            line++;
            if (row.isBlank()) {
                continue;
            }
            String what = "%s, line %d".formatted(name, line);
            Map<String, Object> fields = JsonTree.parse(what, row.getBytes(StandardCharsets.UTF_8), JSON_DEPTH);
            add(field(what, fields, textColumn), field(what, fields, labelColumn), line);
        }
    }

    private static String field(String what, Map<String, Object> fields, String column) {
        Object value = fields.get(column);
        if (value == null) {
            throw new FormatException(
                    "%s: no field is named '%s'; %s".formatted(what, column, known(column, fields.keySet())));
        }
        if (value instanceof String || value instanceof Long || value instanceof Boolean) {
            return String.valueOf(value);
        }
        throw new FormatException("%s, field %s is no text, number or truth value".formatted(what, column));
    }
}
