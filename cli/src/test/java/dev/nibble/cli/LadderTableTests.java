package dev.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.models.LayerTelemetry;
import dev.nibble.models.QuantizerChoice;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;

class LadderTableTests {
    private static final Ladder.Task TASK = new Ladder.Task(
            "task",
            "Task",
            "text",
            new LinkedHashMap<>(),
            List.of(1L, 2L, 3L),
            List.of(
                    row("fp32", List.of(), Optional.empty()),
                    row("block", List.of("fallback"), Optional.empty()),
                    row("fallback", List.of(), Optional.of("block")),
                    row("other", List.of("fallback"), Optional.empty())),
            Map.of());
    private static final double[] BASE = {2.00, 2.01, 1.99}; // [seed]: s.d. 0.01

    private static Ladder.Row row(String label, List<String> controls, Optional<String> recovers) {
        return new Ladder.Row(
                label, QuantizerChoice.of("fp32"), new LinkedHashMap<>(), Optional.empty(), controls, recovers);
    }

    private static LadderRun run(String row, long seed, double loss, double accuracy) {
        boolean completed = !Double.isNaN(loss);
        return new LadderRun("", "task", row, seed, completed, loss, accuracy, loss, Double.NaN, 1, "");
    }

    /** Runs of seeds 1, 2, 3: each loses so much against the baseline of its seed. */
    private static List<LadderRun> runs(String row, double... gaps) {
        List<LadderRun> runs = new ArrayList<>();
        for (int i = 0; i < gaps.length; i++) {
            runs.add(run(row, i + 1, BASE[i] + gaps[i], 0.9 - gaps[i]));
        }
        return runs;
    }

    private static LadderTable table(List<List<LadderRun>> runs) {
        return LadderTable.of(TASK, runs.stream().flatMap(List::stream).toList());
    }

    @Test
    void gapsAreOfPairs() {
        LadderTable table = table(List.of(runs("fp32", 0, 0, 0), runs("other", 0.03, 0.03, 0.03)));
        LadderTable.Line other = table.line("other").orElseThrow();
        assertEquals(0.03, other.gap().mean(), 1e-12); // sums of numbers near 2: a few units of 2^-52
        assertEquals(0, other.gap().deviation(), 1e-12);
        assertEquals(3, other.lost().mean(), 1e-9); // points
        assertEquals(0.01, other.loss().deviation(), 1e-12);
        assertEquals(3, other.deviations(), 1e-9);
        assertEquals(
                List.of("fp32", "other"),
                table.rows().stream().map(line -> line.row().label()).toList());
    }

    @Test
    void baselineWithoutTheSeedGivesNoPair() {
        LadderTable table = table(List.of(runs("fp32", 0, 0), runs("other", 0.03, 0.01, 0.5)));
        assertEquals(2, table.line("other").orElseThrow().gap().count());
        assertEquals(3, table.line("other").orElseThrow().loss().count());
    }

    @Test
    void taskIsEvidenceWhereTheControlLosesThreeDeviations() {
        for (double loss : new double[] {0.029, 0.031}) {
            LadderTable table = table(
                    List.of(runs("fp32", 0, 0, 0), runs("block", loss, loss, loss), runs("fallback", 0.001, 0, 0.002)));
            assertEquals(loss > 0.03 ? List.of("block") : List.of(), evidence(table, "fallback"));
        }
    }

    @Test
    void controlThatIsStoppedHasLost() {
        LadderTable table = table(
                List.of(runs("fp32", 0, 0, 0), runs("block", 0, Double.NaN, 0), runs("fallback", 0.001, 0, 0.002)));
        assertEquals(1, table.line("block").orElseThrow().stopped());
        assertEquals(List.of("block"), evidence(table, "fallback"));
        assertEquals(2, table.line("block").orElseThrow().gap().count());
    }

    @Test
    void methodWithoutControlIsNoEvidence() {
        LadderTable table = table(List.of(runs("fp32", 0, 0, 0), runs("fallback", 0, 0, 0)));
        assertEquals(List.of(), evidence(table, "fallback"));
    }

    @Test
    void eachControlCountsForItself() {
        LadderTable table = table(List.of(
                runs("fp32", 0, 0, 0),
                runs("block", 0.02, 0.02, 0.02),
                runs("fallback", 0, 0, 0),
                runs("other", 0.04, 0.04, 0.04)));
        assertEquals(2, table.controls(table.line("fallback").orElseThrow()).size());
        assertEquals(List.of("other"), evidence(table, "fallback"));
        assertEquals(List.of(), evidence(table, "other"));
    }

    private static List<String> evidence(LadderTable table, String method) {
        return table.evidence(table.line(method).orElseThrow()).stream()
                .map(line -> line.row().label())
                .toList();
    }

    @Test
    void recoveredShareIsThatOfTheMeanGaps() {
        LadderTable table = table(
                List.of(runs("fp32", 0, 0, 0), runs("block", 0.10, 0.12, 0.08), runs("fallback", 0.01, 0.02, 0.03)));
        LadderTable.Recovered recovered =
                table.recovered(table.line("fallback").orElseThrow()).orElseThrow();
        assertEquals(0.8, recovered.share(), 1e-12);
        Interval.Ends ends = recovered.ends().orElseThrow();
        assertTrue(ends.lower() < 0.8 && ends.upper() > 0.8, ends.toString());
        assertEquals(Optional.empty(), table.recovered(table.line("block").orElseThrow()));
    }

    @Test
    void outcomeComparesTheIntervalWithTheAim() {
        Interval interval = Interval.of(List.of(0.1, 0.2, 0.3)); // 0.2 ± 0.248
        assertEquals("met", LadderPage.outcome(interval, 0.5));
        assertEquals("open", LadderPage.outcome(interval, 0.2));
        assertEquals("missed", LadderPage.outcome(interval, -0.1));
        assertEquals("-", LadderPage.outcome(Interval.of(List.of(0.1)), 0.5));
    }

    @Test
    void fallbackRateIsThatOfLayersThatFallBackInTheSecondHalf() {
        List<LayerTelemetry> rows = List.of(
                telemetry("a", 0, 0.9, 1),
                telemetry("a", 10, 0.1, 1),
                telemetry("b", 10, 0.3, 2),
                telemetry("c", 10, 0, 0));
        assertEquals(0.2, LadderRun.fallbackRate(rows, 20), 1e-15);
        assertTrue(Double.isNaN(LadderRun.fallbackRate(rows.subList(3, 4), 20)));
    }

    private static LayerTelemetry telemetry(String layer, int step, double rate, double threshold) {
        return new LayerTelemetry(layer, step, 1, rate, threshold, 1, new TreeMap<>());
    }
}
