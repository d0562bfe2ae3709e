package dev.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.models.GuardAction;
import dev.nibble.models.RunConfig;
import dev.nibble.models.RunEvent;
import dev.nibble.models.RunResult;
import dev.nibble.models.train.TaskKind;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

class EventTableTests {
    private static final RunEvent ROLLBACK = new RunEvent(
            155, RunEvent.Cause.SPIKE, GuardAction.ROLLBACK, List.of(), 100, "the loss is <b>9</b>: back to step 100");
    private static final RunEvent BACKOFF = new RunEvent(
            7, RunEvent.Cause.NON_FINITE, GuardAction.BACKOFF, List.of("blocks.0.mlp.down", "head"), 8, "NaN");

    private static FinishedRun run(RunResult.Status status, RunEvent... events) {
        RunResult result = new RunResult(
                TaskKind.CLASSIFICATION,
                "luq",
                "cpu",
                "a device",
                status,
                "",
                Optional.empty(),
                200,
                1,
                2,
                2,
                0.5,
                10,
                0,
                0,
                List.of(),
                List.of(),
                List.of(),
                List.of(),
                "model",
                Optional.empty(),
                List.of(events));
        return new FinishedRun(RunConfig.of("text"), Path.of("out"), result);
    }

    @Test
    void eventsAreInTheReport() {
        FinishedRun run = run(RunResult.Status.COMPLETED, BACKOFF, ROLLBACK);
        String html = new Report("t", List.of("nibble"), List.of(run)).html();
        assertTrue(html.contains("<h2>What changed the course</h2>"));
        assertTrue(html.contains(
                "<td>7</td><td>nonfinite</td><td>backoff</td><td>NaN</td><td>blocks.0.mlp.down head</td>"));
        assertTrue(html.contains("<td>155</td><td>spike</td><td>rollback</td><td>the loss is &lt;b&gt;9&lt;/b&gt;"));
        assertEquals("1 step skipped, rolled back 1 time, layers backed off 1 time", ResultTable.remark(run));
    }

    @Test
    void runWithoutEventsHasNoSuchSection() {
        FinishedRun run = run(RunResult.Status.COMPLETED);
        assertFalse(new Report("t", List.of("nibble"), List.of(run)).html().contains("changed the course"));
        assertEquals("1 step skipped", ResultTable.remark(run));
    }

    @Test
    void manyEventsAreCutShort() {
        RunEvent[] many = new RunEvent[201];
        Arrays.fill(many, BACKOFF);
        String html = new EventTable(List.of(run(RunResult.Status.COMPLETED, many))).html();
        assertTrue(html.contains("201 events, the first 200 of them below"));
        assertEquals(200, html.split("<td>nonfinite</td>", -1).length - 1);
    }

    @Test
    void aSpikeIsAFailureOfItsOwnKind() {
        RunEvent stop = new RunEvent(9, RunEvent.Cause.SPIKE, GuardAction.STOP, List.of(), 10, "the loss");
        assertEquals("lossSpike", run(RunResult.Status.STOPPED, stop).failure().kind());
        assertEquals(
                "nonFinite", run(RunResult.Status.STOPPED, BACKOFF).failure().kind());
    }
}
