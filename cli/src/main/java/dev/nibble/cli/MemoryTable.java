package dev.nibble.cli;

import dev.nibble.models.RunMemory;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalLong;

/**
 * What runs were predicted to hold, beside what they held.
 *
 * @param runs the runs that have ended
 */
record MemoryTable(List<FinishedRun> runs) {
    private static final List<String> COLUMNS = List.of("memory", "predicted", "measured", "measured / predicted");

    /** {@return a section of the report; empty if nothing was predicted} */
    String html() {
        StringBuilder tables = new StringBuilder();
        for (FinishedRun run : runs) {
            run.result().memory().ifPresent(memory -> tables.append(table(run.label(), memory)));
        }
        return tables.isEmpty()
                ? ""
                : "<section>\n"
                        + "<h2>Memory</h2>\n"
                        + "<p class=\"note\">Predicted from shapes and plans before the first step; measured by the"
                        + " backend's allocator at the end of the first forward pass, the peak over the run. What"
                        + " operations work in is not predicted. Held of the device: the peak with the gaps between"
                        + " tensors and what waits to be used again.</p>\n"
                        + tables + "</section>\n";
    }

    private String table(String name, RunMemory memory) {
        StringBuilder html =
                new StringBuilder("<details%s>\n<summary>%s</summary>\n<div class=\"scroll\"><table class=\"numbers\">"
                        .formatted(runs.size() == 1 ? " open" : "", Html.escape(name)));
        html.append("<thead>").append(Html.headerRow(COLUMNS)).append("</thead>\n<tbody>\n");
        for (RunMemory.Row row : memory.rows()) {
            html.append(Html.row(cells(row)));
        }
        html.append("</tbody>\n<thead>")
                .append(Html.headerRow(List.of("saved activations by tensor", "predicted", "", "")));
        html.append("</thead>\n<tbody>\n");
        memory.forecast().savedByTensor().entrySet().stream()
                .sorted((a, b) -> Long.compare(b.getValue(), a.getValue()))
                .forEach(entry ->
                        html.append(Html.row(List.of(entry.getKey(), Figures.bytes(entry.getValue()), "", ""))));
        return html.append("</tbody></table></div></details>\n").toString();
    }

    private static List<String> cells(RunMemory.Row row) {
        OptionalLong measured = row.measured();
        List<String> cells = new ArrayList<>(List.of(row.label(), Figures.bytes(row.predicted())));
        cells.add(measured.isPresent() ? Figures.bytes(measured.getAsLong()) : "-");
        boolean comparable = measured.isPresent() && row.predicted() > 0;
        cells.add(comparable ? Figures.fixed((double) measured.getAsLong() / row.predicted(), 3) : "-");
        return cells;
    }
}
