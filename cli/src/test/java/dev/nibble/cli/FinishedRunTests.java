package dev.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.error.NibbleException;
import dev.nibble.error.NotAvailableException;
import dev.nibble.error.StrictException;
import dev.nibble.models.RunConfig;
import dev.nibble.models.RunResult;
import dev.nibble.models.train.TaskKind;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

class FinishedRunTests {
    private static FinishedRun ended(RunResult.Status status, String message, Optional<Throwable> failure) {
        RunResult result = new RunResult(
                TaskKind.LANGUAGE_MODEL,
                "int8-row",
                "cpu",
                "a device",
                status,
                message,
                failure,
                3,
                0,
                2,
                Double.NaN,
                Double.NaN,
                1,
                0,
                0,
                List.of(),
                List.of(),
                List.of(),
                List.of(),
                "a model");
        return new FinishedRun(RunConfig.of("text"), Path.of("out"), result);
    }

    private static Failure failed(Throwable thrown) {
        return ended(RunResult.Status.FAILED, String.valueOf(thrown.getMessage()), Optional.of(thrown))
                .failure();
    }

    @Test
    void kindAndStatusTellHowARunEnded() {
        assertEquals(new Failure(1, "strict", "ran fp32"), failed(new StrictException("ran fp32")));
        assertEquals(new Failure(1, "failed", "disk full"), failed(new NibbleException("disk full")));
        assertEquals(new Failure(3, "notAvailable", "no device"), failed(new NotAvailableException("no device")));
        assertEquals(
                new Failure(1, "nonFinite", "the loss is NaN"),
                ended(RunResult.Status.STOPPED, "the loss is NaN", Optional.empty())
                        .failure());
        assertEquals(
                new Failure(130, "interrupted", "after step 2"),
                ended(RunResult.Status.INTERRUPTED, "after step 2", Optional.empty())
                        .failure());
    }

    /** The command line has been checked before; what a layer's plan refuses while it runs is a failed run. */
    @Test
    void misuseInsideARunIsAFailure() {
        assertEquals(new Failure(1, "failed", "K is 3"), failed(new IllegalArgumentException("K is 3")));
    }

    @Test
    void messageIsOneLineAndNumbersThatAreNotFiniteAreNull() {
        FinishedRun run = ended(RunResult.Status.FAILED, "", Optional.of(new NullPointerException("a\nb")));
        assertEquals("unexpected NullPointerException: a b; run again with --debug for the stack trace", run.message());
        assertEquals(run.message(), run.summary().get("message").asText());
        assertEquals(2, run.summary().get("finalTrainLoss").asDouble());
        assertTrue(run.summary().get("finalValidationLoss").isNull());
        assertFalse(run.completed());
    }
}
