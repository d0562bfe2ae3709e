package dev.nibble.cli;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.SequencedMap;

/**
 * The tables of a ladder, as Markdown and as JSON.
 *
 * @param ladder what was to be run
 * @param facts what holds for all runs, by name
 * @param text Markdown that is put before the tables, as it is
 * @param runs those that are there
 */
record LadderPage(Ladder ladder, SequencedMap<String, String> facts, String text, List<LadderRun> runs) {
    private static final String ABSENT = "-";

    private List<LadderTable> tables() {
        return ladder.tasks().stream()
                .map(task -> LadderTable.of(task, runs))
                .filter(table -> !table.rows().isEmpty())
                .toList();
    }

    /** {@return the tables as Markdown} */
    String markdown() {
        StringBuilder page = new StringBuilder("# " + ladder.title() + "\n\n");
        facts.forEach((name, value) ->
                page.append("- ").append(name).append(": ").append(value).append('\n'));
        List<LadderTable> tables = tables();
        aims(tables, page);
        if (!text.isEmpty()) {
            page.append('\n').append(text.strip()).append('\n');
        }
        for (LadderTable table : tables) {
            page.append("\n## ").append(table.task().title()).append("\n\n");
            page.append("Preset `").append(table.task().preset()).append('`');
            table.task().settings().forEach((path, value) -> page.append(", `%s=%s`".formatted(path, value)));
            page.append(".\n\n");
            rows(table, page);
            evidence(table, page);
        }
        return page.toString();
    }

    private static void aims(List<LadderTable> tables, StringBuilder text) {
        if (tables.stream().allMatch(table -> table.task().aims().isEmpty())) {
            return;
        }
        text.append("\n## Aims\n\n");
        List<String> head = List.of(
                "task", "method", "aim, points", "lost, 95 % interval", "within", "outcome", "controls that fail");
        row(text, head);
        row(text, head.stream().map(_ -> "---").toList());
        for (LadderTable table : tables) {
            for (LadderTable.Line line : table.rows()) {
                Optional.ofNullable(table.task().aims().get(line.row().label()))
                        .ifPresent(aim -> row(text, aim(table, line, aim)));
            }
        }
    }

    private static List<String> aim(LadderTable table, LadderTable.Line line, double aim) {
        List<String> failing = table.evidence(line).stream()
                .map(control -> control.row().label())
                .toList();
        return List.of(
                table.task().name(),
                line.row().label(),
                Figures.fixed(aim, 2),
                interval(line.lost(), 2),
                within(line),
                outcome(line.lost(), aim),
                failing.isEmpty() ? "none: no evidence" : String.join(", ", failing));
    }

    private static void rows(LadderTable table, StringBuilder text) {
        boolean accuracy =
                table.rows().stream().anyMatch(line -> line.accuracy().count() > 0);
        boolean fallback = table.rows().stream().anyMatch(line -> !Double.isNaN(line.fallbackRate()));
        List<String> head =
                new ArrayList<>(List.of("row", "quantizer", "seeds", "loss", "± s.d.", "gap, 95 % interval"));
        if (accuracy) {
            head.addAll(List.of("accuracy %", "± s.d.", "points lost, 95 % interval"));
        }
        if (fallback) {
            head.add("fallback rate");
        }
        head.add("s a run");
        row(text, head);
        row(text, head.stream().map(_ -> "---").toList());
        for (LadderTable.Line line : table.rows()) {
            List<String> cells = new ArrayList<>(List.of(
                    line.row().label(),
                    quantizer(table.task(), line.row()),
                    seeds(line),
                    Figures.fixed(line.loss().mean(), 4),
                    Figures.fixed(line.loss().deviation(), 4),
                    interval(line.gap(), 4)));
            if (accuracy) {
                cells.add(Figures.fixed(line.accuracy().mean(), 2));
                cells.add(Figures.fixed(line.accuracy().deviation(), 2));
                cells.add(interval(line.lost(), 2));
            }
            if (fallback) {
                cells.add(Figures.fixed(line.fallbackRate(), 2));
            }
            double seconds = line.runs().stream()
                    .mapToDouble(LadderRun::seconds)
                    .average()
                    .orElse(Double.NaN);
            cells.add(Figures.fixed(seconds, 1));
            row(text, cells);
        }
    }

    private static String quantizer(Ladder.Task task, Ladder.Row row) {
        StringBuilder text = new StringBuilder("`" + row.quantizer().label() + "`");
        row.settings().forEach((path, value) -> text.append(", `%s=%s`".formatted(path, value)));
        task.baseline(row)
                .filter(base -> !base.equals(task.rows().getFirst()))
                .ifPresent(base -> text.append(", against ").append(base.label()));
        return text.toString();
    }

    private static String seeds(LadderTable.Line line) {
        String stopped = line.stopped() == 0 ? "" : " (" + line.stopped() + " stopped)";
        return line.runs().size() + stopped;
    }

    private static void evidence(LadderTable table, StringBuilder text) {
        List<LadderTable.Line> methods = table.rows().stream()
                .filter(line -> !table.controls(line).isEmpty())
                .toList();
        if (!methods.isEmpty()) {
            text.append('\n');
            List<String> head = List.of("method", "within", "control", "control loses, s.d.", "evidence");
            row(text, head);
            row(text, head.stream().map(_ -> "---").toList());
        }
        for (LadderTable.Line line : methods) {
            for (LadderTable.Line control : table.controls(line)) {
                row(
                        text,
                        List.of(
                                line.row().label(),
                                within(line),
                                control.row().label(),
                                deviations(control.deviations()),
                                control.fails() ? "yes" : "no"));
            }
        }
        for (LadderTable.Line line : table.rows()) {
            table.recovered(line).ifPresent(recovered -> text.append(recovered(line.row(), recovered)));
        }
    }

    private static String recovered(Ladder.Row row, LadderTable.Recovered recovered) {
        String other = row.recovers().orElseThrow();
        return recovered
                .ends()
                .map(ends -> "\n%s recovers %s %% of the loss gap of %s (95 %% interval %s to %s %%).\n"
                        .formatted(
                                row.label(),
                                Figures.fixed(100 * recovered.share(), 0),
                                other,
                                Figures.fixed(100 * ends.lower(), 0),
                                Figures.fixed(100 * ends.upper(), 0)))
                .orElse("\nThe loss gap of %s is not told from 0: there is no share of it that %s recovers.\n"
                        .formatted(other, row.label()));
    }

    private static String deviations(double value) {
        return Double.isInfinite(value) ? "stopped" : Figures.signed(value, 1);
    }

    private static String within(LadderTable.Line line) {
        boolean accuracy = line.accuracy().count() > 0;
        Interval interval = accuracy ? line.lost() : line.gap();
        return Double.isNaN(interval.upper())
                ? ABSENT
                : accuracy ? Figures.fixed(interval.upper(), 2) + " points" : Figures.fixed(interval.upper(), 4);
    }

    /** {@return whether the interval is below an aim, above it, or holds it} */
    static String outcome(Interval lost, double aim) {
        if (Double.isNaN(lost.upper())) {
            return ABSENT;
        }
        return lost.upper() <= aim ? "met" : lost.lower() > aim ? "missed" : "open";
    }

    private static String interval(Interval interval, int decimals) {
        if (interval.count() == 0) {
            return ABSENT;
        }
        String mean = Figures.signed(interval.mean(), decimals);
        return interval.count() < 2
                ? mean
                : "%s [%s, %s]"
                        .formatted(
                                mean,
                                Figures.signed(interval.lower(), decimals),
                                Figures.signed(interval.upper(), decimals));
    }

    private static void row(StringBuilder text, List<String> cells) {
        text.append("| ").append(String.join(" | ", cells)).append(" |\n");
    }

    /** {@return the tables and all runs} */
    ObjectNode json() {
        ObjectNode json = Json.object();
        json.put("title", ladder.title());
        facts.forEach(json::put);
        ArrayNode tasks = json.putArray("tasks");
        for (LadderTable table : tables()) {
            ObjectNode task = tasks.addObject();
            task.put("task", table.task().name());
            task.put("preset", table.task().preset());
            ObjectNode settings = task.putObject("settings");
            table.task().settings().forEach(settings::put);
            ArrayNode rows = task.putArray("rows");
            table.rows().forEach(line -> rows.add(json(table, line)));
        }
        ArrayNode all = json.putArray("runs");
        runs.forEach(run -> all.add(Json.object(run.summary())));
        return json;
    }

    private static ObjectNode json(LadderTable table, LadderTable.Line line) {
        ObjectNode json = Json.object();
        json.put("row", line.row().label());
        json.put("quantizer", line.row().quantizer().label());
        json.put("runs", line.runs().size());
        json.put("stopped", line.stopped());
        json.set("loss", json(line.loss()));
        json.set("gap", json(line.gap()));
        json.set("accuracyPercent", json(line.accuracy()));
        json.set("pointsLost", json(line.lost()));
        Json.put(json, "fallbackRate", line.fallbackRate());
        Json.put(json, "gapInDeviations", line.deviations());
        ArrayNode controls = json.putArray("controls");
        for (LadderTable.Line control : table.controls(line)) {
            ObjectNode one = controls.addObject();
            one.put("row", control.row().label());
            one.put("evidence", control.fails());
        }
        table.recovered(line).ifPresent(recovered -> {
            Json.put(json, "recovered", recovered.share());
            recovered.ends().ifPresent(ends -> {
                Json.put(json, "recoveredLower", ends.lower());
                Json.put(json, "recoveredUpper", ends.upper());
            });
        });
        return json;
    }

    private static ObjectNode json(Interval interval) {
        ObjectNode json = Json.object();
        json.put("count", interval.count());
        Json.put(json, "mean", interval.mean());
        Json.put(json, "deviation", interval.deviation());
        Json.put(json, "lower", interval.lower());
        Json.put(json, "upper", interval.upper());
        return json;
    }
}
