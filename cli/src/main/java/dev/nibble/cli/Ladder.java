package dev.nibble.cli;

import dev.nibble.models.QuantizerChoice;
import dev.nibble.models.RunConfig;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;

/**
 * Tasks, each learned by several methods with several seeds.
 *
 * @param title what it shows
 * @param tasks the tasks, in the order of the page
 */
record Ladder(String title, List<Task> tasks) {
    /** Copies the list. */
    Ladder {
        tasks = List.copyOf(tasks);
    }

    /**
     * Something to learn.
     *
     * @param name its name in commands and files
     * @param title its heading
     * @param preset name of the preset
     * @param settings settings by path, in the order of the file
     * @param seeds what each row runs with
     * @param rows what learns it; the first one is the baseline of those that name no other
     * @param aims by row: the largest loss of accuracy that is aimed at, in points
     */
    record Task(
            String name,
            String title,
            String preset,
            SequencedMap<String, String> settings,
            List<Long> seeds,
            List<Row> rows,
            Map<String, Double> aims) {
        /** {@return the row with a name, if this task has it} */
        Optional<Row> row(String label) {
            return rows.stream().filter(row -> row.label().equals(label)).findFirst();
        }

        /** {@return what a row is compared with, if it is compared} */
        Optional<Row> baseline(Row row) {
            Row base = row.baseline().flatMap(this::row).orElse(rows.getFirst());
            return base.equals(row) ? Optional.empty() : Optional.of(base);
        }

        /** {@return the rows that show whether this task can tell if a method works} */
        List<Row> controls(Row row) {
            return rows.stream()
                    .filter(other -> other.controls().contains(row.label()))
                    .toList();
        }

        /** {@return this task with other seeds} */
        Task withSeeds(List<Long> others) {
            return new Task(name, title, preset, settings, others, rows, aims);
        }

        /** {@return this task with one more setting} */
        Task with(String path, String value) {
            SequencedMap<String, String> all = new LinkedHashMap<>(settings);
            all.put(path, value);
            return new Task(name, title, preset, all, seeds, rows, aims);
        }

        /** {@return the configuration of a run} */
        RunConfig config(Row row, long seed, String backend) {
            RunConfig config = RunConfig.of(preset)
                    .withQuantizer(row.quantizer())
                    .withBackend(backend)
                    .withSeed(seed)
                    .withStrict(true);
            for (Map<String, String> some : List.of(settings, row.settings())) {
                for (Map.Entry<String, String> setting : some.entrySet()) {
                    config = config.with(setting.getKey(), setting.getValue());
                }
            }
            return config;
        }
    }

    /**
     * A way to learn a task.
     *
     * @param label its name
     * @param quantizer the quantizer
     * @param settings settings by path, after those of the task
     * @param baseline the row it is compared with; empty for the first one
     * @param controls the rows whose negative control it is
     * @param recovers the row of whose gap it recovers a share
     */
    record Row(
            String label,
            QuantizerChoice quantizer,
            SequencedMap<String, String> settings,
            Optional<String> baseline,
            List<String> controls,
            Optional<String> recovers) {}
}
