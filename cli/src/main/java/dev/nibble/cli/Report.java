package dev.nibble.cli;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.nibble.models.Evaluation;
import dev.nibble.models.LayerTelemetry;
import dev.nibble.models.RunResult;
import dev.nibble.models.StepRecord;
import dev.nibble.report.ExecutionRow;
import dev.nibble.spi.BackendChoice;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.time.LocalDateTime;
import java.time.ZoneId;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The HTML report: one file that needs nothing else. Tables are in the page itself, curves are drawn by the page's script
 * from the data in it.
 *
 * @param title what was run
 * @param command the command line
 * @param runs the runs that have ended
 */
record Report(String title, List<String> command, List<FinishedRun> runs) {
    static final String FILE = "report.html";

    private static final int CURVE_POINTS = 2000;
    private static final int LAYER_POINTS = 300;
    private static final Pattern SLOT = Pattern.compile("\\{\\{([a-zA-Z]+)}}");
    private static final DateTimeFormatter DAY = DateTimeFormatter.ofPattern("yyyy-MM-dd HH:mm");

    /** Copies the lists. */
    Report {
        command = List.copyOf(command);
        runs = List.copyOf(runs);
    }

    /** {@return the page} */
    String html() {
        Map<String, String> slots = new LinkedHashMap<>();
        slots.put("title", Html.escape(title));
        slots.put("model", Html.escape(model()));
        slots.put("date", Html.escape(DAY.format(LocalDateTime.now(ZoneId.systemDefault()))));
        slots.put("chartStyle", resource("uPlot.min.css"));
        slots.put("style", resource("report.css"));
        slots.put("results", results());
        slots.put("fallback", hasFallback() ? resource("fallback.html") : "");
        slots.put("events", new EventTable(runs).html());
        slots.put("errors", runs.stream().allMatch(run -> run.errors().isEmpty()) ? "" : resource("errors.html"));
        slots.put("memory", new MemoryTable(runs).html());
        slots.put("execution", execution());
        slots.put("configuration", configuration());
        slots.put("machine", facts(Machine.facts()));
        slots.put("command", Html.escape(commandLine()));
        slots.put("data", Json.scriptText(data()));
        slots.put("chartScript", resource("uPlot.iife.min.js"));
        slots.put("script", resource("report.js"));
        // one pass: a value that looks like a slot stays as it is
        return SLOT.matcher(resource("report.html"))
                .replaceAll(match -> Matcher.quoteReplacement(slots.getOrDefault(match.group(1), "")));
    }

    private String model() {
        return runs.stream()
                .map(run -> run.result().modelSummary())
                .filter(summary -> !summary.isEmpty())
                .findFirst()
                .orElse("");
    }

    private static String resource(String name) {
        try (InputStream stream = Report.class.getResourceAsStream("web/" + name)) {
            if (stream == null) {
                throw new IllegalStateException("resource web/" + name + " is missing from this build");
            }
            return new String(stream.readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private String results() {
        StringBuilder html = new StringBuilder("<thead>").append(Html.headerRow(ResultTable.columns(runs)));
        html.append("</thead>\n<tbody>\n");
        for (FinishedRun run : runs) {
            html.append(Html.row(ResultTable.cells(run, runs)));
            String remark = ResultTable.remark(run);
            if (!remark.isEmpty()) {
                html.append("<tr class=\"remark\"><td colspan=\"%d\">%s %s</td></tr>%n"
                        .formatted(ResultTable.columns(runs).size(), Html.escape(run.label()), Html.escape(remark)));
            }
        }
        html.append("</tbody>");
        List<SeedSummary> summaries = SeedSummary.of(runs);
        if (!summaries.isEmpty()) {
            html.append("\n<thead>").append(Html.headerRow(SeedSummary.COLUMNS)).append("</thead>\n<tbody>\n");
            summaries.forEach(summary -> html.append(Html.row(summary.cells())));
            html.append("</tbody>");
        }
        return html.toString();
    }

    private String execution() {
        StringBuilder html = new StringBuilder();
        for (FinishedRun run : runs) {
            List<ExecutionSummary> rows = ExecutionSummary.of(run.result().execution());
            if (rows.isEmpty()) {
                continue;
            }
            long different = rows.stream().filter(s -> s.row().differs()).count();
            html.append("<details%s>\n<summary>%s <span class=\"%s\">%s</span></summary>\n"
                    .formatted(
                            different > 0 || runs.size() == 1 ? " open" : "",
                            Html.escape(run.label()),
                            different > 0 ? "bad" : "good",
                            different > 0 ? "not everything ran as asked for" : "all products ran as asked for"));
            html.append("<div class=\"scroll\"><table><thead>");
            html.append(Html.headerRow(List.of(
                    "layers", "product", "asked for", "stored", "kernel", "arithmetic", "number", "why different")));
            html.append("</thead><tbody>\n");
            rows.forEach(row -> html.append(executionRow(row)));
            html.append("</tbody></table></div></details>\n");
        }
        return html.isEmpty() ? "<p>No product was run.</p>" : html.toString();
    }

    private static String executionRow(ExecutionSummary summary) {
        ExecutionRow row = summary.row();
        String html = Html.row(List.of(
                row.layer(),
                row.product(),
                row.requestedFormat(),
                row.storedFormat(),
                row.kernel(),
                row.computeType(),
                String.valueOf(summary.layers()),
                row.reason()));
        return row.differs() ? html.replaceFirst("<tr>", "<tr class=\"differs\">") : html;
    }

    private String configuration() {
        Map<String, String> facts = new LinkedHashMap<>();
        if (runs.isEmpty()) {
            return "";
        }
        facts.putAll(runs.getFirst().config().facts());
        facts.put(
                "quantizer",
                String.join(", ", runs.stream().map(FinishedRun::label).toList()));
        String backend = facts.get("backend");
        String why = backend.equals(BackendChoice.AUTO)
                ? "; " + BackendChoice.of(backend).reason()
                : "";
        facts.put("backend", backend + " (" + devices() + why + ")");
        return facts(facts);
    }

    private String devices() {
        return String.join(
                ", ",
                runs.stream()
                        .map(run -> run.result().backend()
                                + (run.result().device().isEmpty()
                                        ? ""
                                        : ": " + run.result().device()))
                        .distinct()
                        .toList());
    }

    private static String facts(Map<String, String> facts) {
        StringBuilder html = new StringBuilder();
        facts.forEach((name, value) -> html.append(Html.row(List.of(name, value))));
        return html.toString();
    }

    private String commandLine() {
        return String.join(
                " ",
                command.stream()
                        .map(word ->
                                word.matches("[A-Za-z0-9_./:=,@%+-]+") ? word : "'" + word.replace("'", "'\\''") + "'")
                        .toList());
    }

    private boolean hasFallback() {
        return runs.stream().flatMap(r -> r.result().telemetry().stream()).anyMatch(Report::fellBack);
    }

    private static boolean fellBack(LayerTelemetry row) {
        return row.fallbackRate() > 0 || row.threshold() > 0;
    }

    private ObjectNode data() {
        ObjectNode json = Json.object();
        List<FinishedRun> baseLines = runs.stream()
                .filter(ResultTable::isBaseLine)
                .filter(FinishedRun::completed)
                .toList();
        json.put("baseLine", baseLines.size() == 1 ? baseLines.getFirst().label() : ""); // the gap of curves needs one
        ArrayNode array = json.putArray("runs");
        runs.forEach(run -> array.add(run(run)));
        return json;
    }

    private static ObjectNode run(FinishedRun run) {
        RunResult result = run.result();
        ObjectNode json = Json.object();
        json.put("name", run.label());
        curve(json, result.curve());
        ArrayNode evaluationSteps = json.putArray("evaluationSteps");
        ArrayNode evaluationLosses = json.putArray("evaluationLosses");
        for (Evaluation evaluation : result.evaluations()) {
            evaluationSteps.add(evaluation.step());
            Json.add(evaluationLosses, evaluation.validationLoss());
        }
        json.set(
                "layers",
                layers(result.telemetry().stream().filter(Report::fellBack).toList()));
        json.set("errors", errors(run.errors()));
        return json;
    }

    private static ArrayNode errors(List<LayerError> errors) {
        Map<List<String>, List<LayerError>> byPart = new LinkedHashMap<>();
        errors.forEach(error -> byPart.computeIfAbsent(List.of(error.layer(), error.part()), _ -> new ArrayList<>())
                .add(error));
        ArrayNode parts = Json.array();
        byPart.forEach((part, rows) -> {
            ObjectNode json = parts.addObject().put("name", part.getFirst()).put("part", part.getLast());
            ArrayNode steps = json.putArray("steps");
            ArrayNode snr = json.putArray("snr");
            ArrayNode zeros = json.putArray("zeros");
            ArrayNode saturated = json.putArray("saturated");
            int stride = Math.max(1, Math.ceilDiv(rows.size(), LAYER_POINTS));
            for (int i = 0; i < rows.size(); i += stride) {
                LayerError row = rows.get(i);
                steps.add(row.step());
                Json.add(snr, row.snrDb());
                Json.add(zeros, 100 * row.zeros());
                Json.add(saturated, 100 * row.saturated());
            }
        });
        return parts;
    }

    /** A long curve as the means of equal stretches: a screen has no more points, and the page stays small. */
    private static void curve(ObjectNode json, List<StepRecord> curve) {
        ArrayNode steps = json.putArray("steps");
        ArrayNode losses = json.putArray("losses");
        int stretch = Math.max(1, Math.ceilDiv(curve.size(), CURVE_POINTS));
        for (int from = 0; from < curve.size(); from += stretch) {
            List<StepRecord> part = curve.subList(from, Math.min(curve.size(), from + stretch));
            steps.add(part.getFirst().step());
            Json.add(losses, (float)
                    part.stream().mapToDouble(StepRecord::loss).average().orElse(Double.NaN));
        }
    }

    private static ArrayNode layers(List<LayerTelemetry> telemetry) {
        Map<String, List<LayerTelemetry>> byLayer = new LinkedHashMap<>();
        telemetry.forEach(row ->
                byLayer.computeIfAbsent(row.layer(), _ -> new ArrayList<>()).add(row));
        ArrayNode layers = Json.array();
        byLayer.forEach((name, rows) -> {
            ObjectNode layer = layers.addObject().put("name", name);
            ArrayNode steps = layer.putArray("steps");
            ArrayNode rates = layer.putArray("rates");
            ArrayNode thresholds = layer.putArray("thresholds");
            int stride = Math.max(1, Math.ceilDiv(rows.size(), LAYER_POINTS));
            for (int i = 0; i < rows.size(); i += stride) {
                LayerTelemetry row = rows.get(i);
                steps.add(row.step());
                Json.add(rates, row.fallbackRate());
                Json.add(thresholds, row.threshold());
            }
        });
        return layers;
    }
}
