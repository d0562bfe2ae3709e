package dev.nibble.cli;

import dev.nibble.models.QuantizerChoice;
import dev.nibble.models.files.YamlNode;
import dev.nibble.models.files.YamlProblem;
import dev.nibble.models.files.YamlReader;
import dev.nibble.spi.Names;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.function.Function;
import java.util.function.Supplier;

/** Reads a ladder from YAML: names, types, and rows that name each other. What a preset makes of the values is checked later. */
final class LadderReader {
    private static final List<String> KEYS = List.of("title", "seeds", "rows", "tasks");
    private static final List<String> TASK_KEYS = List.of("title", "preset", "settings", "seeds", "rows", "aims");
    private static final List<String> ROW_KEYS = List.of("quantizer", "settings", "baseline", "controls", "recovers");
    private static final String NAME = "[A-Za-z0-9-]+";

    private final List<YamlProblem> problems = new ArrayList<>();

    private LadderReader() {}

    /**
     * {@return the ladder in a file}
     *
     * @throws IllegalArgumentException naming everything that is wrong, each with file and line
     * @throws dev.nibble.error.NibbleException if it cannot be read
     */
    static Ladder read(Path file) {
        LadderReader reader = new LadderReader();
        Optional<Ladder> ladder = YamlReader.read(file, reader.problems).map(reader::ladder);
        if (reader.problems.isEmpty() && ladder.isPresent()) {
            return ladder.orElseThrow();
        }
        throw new IllegalArgumentException(String.join(
                "; ",
                reader.problems.stream()
                        .map(problem -> file + ":" + problem.line() + ": " + problem.message())
                        .toList()));
    }

    private Ladder ladder(YamlNode.Mapping document) {
        known(document, "the ladder", KEYS);
        SequencedMap<String, Ladder.Row> rows = new LinkedHashMap<>();
        section(document, "rows")
                .ifPresent(all -> all.entries()
                        .forEach((label, entry) -> row(label, entry).ifPresent(row -> rows.put(label, row))));
        List<Long> seeds = list(document, "seeds", LadderReader::seed);
        List<Ladder.Task> tasks = new ArrayList<>();
        section(document, "tasks")
                .ifPresent(all -> all.entries()
                        .forEach((name, entry) -> task(name, entry, rows, seeds).ifPresent(tasks::add)));
        if (tasks.isEmpty() && problems.isEmpty()) {
            problem(document.line(), "the ladder has no tasks, but needs one or more");
        }
        for (Ladder.Task task : tasks) {
            if (task.seeds().isEmpty() && problems.isEmpty()) {
                problem(
                        document.line(),
                        "the ladder has no seeds for task '%s', but needs one or more, as in seeds: [1, 2, 3]"
                                .formatted(task.name()));
            }
        }
        return new Ladder(text(document, "title").orElse("Ladder"), tasks);
    }

    private Optional<Ladder.Row> row(String label, YamlNode.Entry entry) {
        if (!(entry.value() instanceof YamlNode.Mapping row)) {
            problem(
                    entry.value().line(),
                    "row '%s' is %s, but must be a section"
                            .formatted(label, entry.value().describe()));
            return Optional.empty();
        }
        known(row, "row '" + label + "'", ROW_KEYS);
        Optional<String> quantizer = text(row, "quantizer");
        if (quantizer.isEmpty()) {
            problem(row.line(), "row '%s' has no quantizer, but needs one".formatted(label));
            return Optional.empty();
        }
        return attempt(row.line(), () -> QuantizerChoice.parse(quantizer.orElseThrow()))
                .map(choice -> new Ladder.Row(
                        label,
                        choice,
                        texts(row, "settings"),
                        text(row, "baseline"),
                        list(row, "controls", name -> name),
                        text(row, "recovers")));
    }

    private Optional<Ladder.Task> task(
            String name, YamlNode.Entry entry, Map<String, Ladder.Row> all, List<Long> usualSeeds) {
        if (!name.matches(NAME)) {
            problem(entry.line(), "task '%s' must have a name of letters, digits and hyphens".formatted(name));
        }
        if (!(entry.value() instanceof YamlNode.Mapping task)) {
            problem(
                    entry.value().line(),
                    "task '%s' is %s, but must be a section"
                            .formatted(name, entry.value().describe()));
            return Optional.empty();
        }
        known(task, "task '" + name + "'", TASK_KEYS);
        List<String> labels = list(task, "rows", label -> label);
        List<Ladder.Row> rows = new ArrayList<>();
        for (String label : labels.isEmpty() ? List.copyOf(all.keySet()) : labels) {
            if (all.containsKey(label)) {
                rows.add(all.get(label));
            } else {
                problem(task.line(), noRow("task '" + name + "'", label, all.keySet()));
            }
        }
        Optional<String> preset = text(task, "preset");
        if (preset.isEmpty()) {
            problem(
                    task.line(),
                    "task '%s' has no preset, but needs one; nibble train --help lists them".formatted(name));
        }
        if (preset.isEmpty() || rows.isEmpty()) {
            return Optional.empty();
        }
        List<Long> seeds = list(task, "seeds", LadderReader::seed);
        Ladder.Task made = new Ladder.Task(
                name,
                text(task, "title").orElse(name),
                preset.orElseThrow(),
                texts(task, "settings"),
                seeds.isEmpty() ? usualSeeds : List.copyOf(seeds),
                List.copyOf(rows),
                aims(task));
        checkNames(made, task.line());
        return Optional.of(made);
    }

    /** A baseline, and the row whose gap is recovered, must run; a control stands idle where its method does. */
    private void checkNames(Ladder.Task task, int line) {
        List<String> labels = task.rows().stream().map(Ladder.Row::label).toList();
        for (Ladder.Row row : task.rows()) {
            for (Optional<String> named : List.of(row.baseline(), row.recovers())) {
                if (named.isPresent() && !labels.contains(named.orElseThrow())) {
                    problem(line, noRow("row '" + row.label() + "'", named.orElseThrow(), labels));
                }
            }
        }
        for (String aimed : task.aims().keySet()) {
            if (!labels.contains(aimed)) {
                problem(line, noRow("the aims of task '" + task.name() + "'", aimed, labels));
            }
        }
    }

    private static String noRow(String who, String label, Iterable<String> known) {
        List<String> names = new ArrayList<>();
        known.forEach(names::add);
        return "%s names row '%s', which there is not; %s".formatted(who, label, Names.suggest(label, names));
    }

    private Map<String, Double> aims(YamlNode.Mapping task) {
        Map<String, Double> aims = new LinkedHashMap<>();
        texts(task, "aims").forEach((label, number) -> {
            try {
                aims.put(label, Double.valueOf(number));
            } catch (NumberFormatException _) {
                problem(
                        task.line(),
                        "the aim of '%s' is '%s', but must be a number of points".formatted(label, number));
            }
        });
        return aims;
    }

    private void known(YamlNode.Mapping mapping, String what, List<String> keys) {
        mapping.entries().forEach((key, entry) -> {
            if (!keys.contains(key)) {
                problem(
                        entry.line(),
                        "%s has '%s', which it cannot have; %s".formatted(what, key, Names.suggest(key, keys)));
            }
        });
    }

    private Optional<YamlNode.Mapping> section(YamlNode.Mapping mapping, String key) {
        YamlNode.Entry entry = mapping.entries().get(key);
        if (entry == null) {
            return Optional.empty();
        }
        if (entry.value() instanceof YamlNode.Mapping inner) {
            return Optional.of(inner);
        }
        problem(
                entry.value().line(),
                "%s is %s, but must be a section".formatted(key, entry.value().describe()));
        return Optional.empty();
    }

    private Optional<String> text(YamlNode.Mapping mapping, String key) {
        YamlNode.Entry entry = mapping.entries().get(key);
        if (entry == null) {
            return Optional.empty();
        }
        if (entry.value() instanceof YamlNode.Scalar scalar && !scalar.text().isEmpty()) {
            return Optional.of(scalar.text());
        }
        problem(
                entry.value().line(),
                "%s is %s, but must be a text".formatted(key, entry.value().describe()));
        return Optional.empty();
    }

    private SequencedMap<String, String> texts(YamlNode.Mapping mapping, String key) {
        SequencedMap<String, String> texts = new LinkedHashMap<>();
        section(mapping, key)
                .ifPresent(inner -> inner.entries().forEach((name, entry) -> {
                    if (entry.value() instanceof YamlNode.Scalar scalar) {
                        texts.put(name, scalar.text());
                    } else {
                        problem(
                                entry.value().line(),
                                "%s is %s, but must be a value"
                                        .formatted(name, entry.value().describe()));
                    }
                }));
        return texts;
    }

    private <T> List<T> list(YamlNode.Mapping mapping, String key, Function<String, T> parser) {
        List<T> values = new ArrayList<>();
        YamlNode.Entry entry = mapping.entries().get(key);
        if (entry == null) {
            return values;
        }
        if (!(entry.value() instanceof YamlNode.Sequence sequence)) {
            problem(
                    entry.value().line(),
                    "%s is %s, but must be a list".formatted(key, entry.value().describe()));
            return values;
        }
        for (YamlNode item : sequence.items()) {
            if (item instanceof YamlNode.Scalar scalar) {
                attempt(scalar.line(), () -> parser.apply(scalar.text())).ifPresent(values::add);
            } else {
                problem(item.line(), "%s has %s, but must have values".formatted(key, item.describe()));
            }
        }
        return values;
    }

    /**
     * {@return a seed}
     *
     * @throws IllegalArgumentException if the text is no whole number
     */
    static long seed(String text) {
        try {
            return Long.parseLong(text.strip());
        } catch (NumberFormatException e) {
            throw new IllegalArgumentException("seed is '" + text + "', but must be a whole number", e);
        }
    }

    private <T> Optional<T> attempt(int line, Supplier<T> source) {
        try {
            return Optional.of(source.get());
        } catch (IllegalArgumentException e) {
            problem(line, e.getMessage());
            return Optional.empty();
        }
    }

    private void problem(int line, String message) {
        problems.add(new YamlProblem(line, message));
    }
}
