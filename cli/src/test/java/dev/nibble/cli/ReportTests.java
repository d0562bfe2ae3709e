package dev.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.nibble.models.Evaluation;
import dev.nibble.models.LayerTelemetry;
import dev.nibble.models.RunConfig;
import dev.nibble.models.RunResult;
import dev.nibble.models.StepRecord;
import dev.nibble.models.train.TaskKind;
import dev.nibble.report.ExecutionRow;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

class ReportTests {
    private static final String NASTY = "</script><b onclick='x'>&{{data}}\"";

    private static ExecutionRow row(String layer, String stored) {
        return new ExecutionRow(
                layer,
                "output",
                "int8 x int8",
                stored,
                "kernel",
                "fp32",
                true,
                stored.equals("int8 x int8") ? "" : NASTY);
    }

    static FinishedRun run(String name, int steps, double loss) {
        List<StepRecord> curve = new ArrayList<>();
        for (int i = 0; i < steps; i++) {
            curve.add(new StepRecord(i, loss + 1.0 / (i + 1), 1e-3, 1, false, 1000 + i, i));
        }
        RunResult result = new RunResult(
                TaskKind.LANGUAGE_MODEL,
                name,
                "reference",
                "a device",
                RunResult.Status.COMPLETED,
                "",
                Optional.empty(),
                steps,
                0,
                loss,
                loss,
                Double.NaN,
                steps,
                1 << 20,
                1 << 10,
                curve,
                List.of(new Evaluation(steps, loss, Double.NaN)),
                List.of(
                        row("blocks.0.mlp.down", "int8 x int8"),
                        row("blocks.1.mlp.down", "int8 x int8"),
                        row("head", "fp32 x fp32")),
                List.of(new LayerTelemetry("blocks.0.mlp.down", 0, 3, 0.25, 2, 4, new java.util.TreeMap<>())),
                "a model");
        return new FinishedRun(RunConfig.of("text").with("data.path", NASTY), Path.of("out"), result);
    }

    private static JsonNode data(String html) throws IOException {
        int from = html.indexOf("id=\"data\">") + "id=\"data\">".length();
        return new ObjectMapper().readTree(html.substring(from, html.indexOf("</script>", from)));
    }

    @Test
    void valuesAreEscapedEverywhere() throws IOException {
        Report report = new Report(NASTY, List.of("nibble", NASTY), List.of(run("fp32", 10, 2), run(NASTY, 10, 2.5)));
        String html = report.html();
        assertFalse(html.contains("</script><b"), "markup from a value");
        String page = html.substring(0, html.indexOf("id=\"data\">"));
        assertFalse(page.contains("onclick='x'"), "an attribute from a value");
        assertEquals(NASTY, data(html).at("/runs/1/name").asText());
        assertTrue(html.contains("&lt;/script&gt;&lt;b onclick=&#39;x&#39;&gt;&amp;{{data}}&quot;"));
    }

    @Test
    void blocksAreGroupedAndDifferencesMarked() {
        String html = new Report("nibble train", List.of("nibble"), List.of(run("int8-block", 3, 2))).html();
        assertTrue(html.contains("<tr><td>blocks.*.mlp.down</td>"), "two blocks in one row");
        assertTrue(html.contains("<tr class=\"differs\"><td>head</td>"));
        assertTrue(html.contains("not everything ran as asked for"));
        assertTrue(html.contains("id=\"fallback\""));
    }

    @Test
    void longCurvesAreThinnedToTheirMeans() throws IOException {
        String html = new Report("t", List.of("nibble"), List.of(run("fp32", 5000, 2))).html();
        JsonNode losses = data(html).at("/runs/0/losses");
        assertEquals(1667, losses.size(), "stretches of 3");
        assertEquals(2 + (1 + 0.5 + 1.0 / 3) / 3, losses.get(0).asDouble(), 1e-6);
        assertEquals(3, data(html).at("/runs/0/steps/1").asInt());
    }

    @Test
    void pageNeedsNothingElse() {
        String html = new Report("t", List.of("nibble"), List.of(run("fp32", 3, 2))).html();
        assertFalse(html.contains("src="), "no script or picture from elsewhere");
        assertFalse(html.contains("<link"), "no style from elsewhere");
        assertTrue(html.contains("uPlot=function"));
    }
}
