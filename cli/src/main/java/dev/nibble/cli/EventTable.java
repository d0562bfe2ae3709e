package dev.nibble.cli;

import dev.nibble.models.RunEvent;
import java.util.List;

/**
 * What changed the course of runs: what their guards did, and layers that got another quantizer.
 *
 * @param runs the runs that have ended
 */
record EventTable(List<FinishedRun> runs) {
    private static final List<String> COLUMNS = List.of("step", "why", "done", "what happened", "layers");
    private static final int MOST = 200; // rows of a run

    /** {@return a section of the report; empty if nothing happened} */
    String html() {
        StringBuilder tables = new StringBuilder();
        for (FinishedRun run : runs) {
            if (!run.result().events().isEmpty()) {
                tables.append(table(run.label(), run.result().events()));
            }
        }
        return tables.isEmpty()
                ? ""
                : "<section id=\"events\">\n"
                        + "<h2>What changed the course</h2>\n"
                        + "<p class=\"note\">Steps that went wrong, with what the policies nonfinite and guard.spike did about"
                        + " them, and layers that got another quantizer. Steps that a rollback left behind are in no curve"
                        + " and no table.</p>\n"
                        + tables + "</section>\n";
    }

    private String table(String name, List<RunEvent> events) {
        String more = events.size() > MOST ? ", the first " + MOST + " of them below" : "";
        StringBuilder html = new StringBuilder(
                "<details%s>\n<summary>%s <span>%d events%s</span></summary>\n<div class=\"scroll\"><table>"
                        .formatted(runs.size() == 1 ? " open" : "", Html.escape(name), events.size(), more));
        html.append("<thead>").append(Html.headerRow(COLUMNS)).append("</thead>\n<tbody>\n");
        for (RunEvent event : events.subList(0, Math.min(MOST, events.size()))) {
            html.append(Html.row(List.of(
                    String.valueOf(event.step()),
                    event.cause().label(),
                    event.action().label(),
                    event.message(),
                    String.join(" ", event.layers()))));
        }
        return html.append("</tbody></table></div></details>\n").toString();
    }
}
