package dev.nibble.cli;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.nibble.models.GuardAction;
import dev.nibble.models.RunConfig;
import dev.nibble.models.RunEvent;
import dev.nibble.models.RunResult;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/**
 * A run that has ended, well or not.
 *
 * @param config what was run
 * @param folder where its files are
 * @param result what it gave
 * @param label its name among other runs: the quantizer's, and the seed where there are several
 * @param errors what quantizing did to operands, where that was measured
 */
record FinishedRun(RunConfig config, Path folder, RunResult result, String label, List<LayerError> errors) {
    /** Copies the list. */
    FinishedRun {
        errors = List.copyOf(errors);
    }

    /** A run of which there is one. */
    FinishedRun(RunConfig config, Path folder, RunResult result) {
        this(config, folder, result, QuantizerName.of(result.quantizer()), List.of());
    }

    /** {@return this run under another name} */
    FinishedRun named(String name) {
        return new FinishedRun(config, folder, result, name, errors);
    }

    /** {@return this run with measured errors} */
    FinishedRun with(List<LayerError> measured) {
        return new FinishedRun(config, folder, result, label, measured);
    }

    /** {@return whether all steps were done} */
    boolean completed() {
        return result.status() == RunResult.Status.COMPLETED;
    }

    /** {@return whether the user ended it} */
    boolean interrupted() {
        return result.status() == RunResult.Status.INTERRUPTED;
    }

    /** {@return why it is not complete, with its exit status} */
    Failure failure() {
        return switch (result.status()) {
            case COMPLETED -> throw new IllegalStateException("run " + result.quantizer() + " is complete");
            case STOPPED -> new Failure(Failure.FAILED, stoppedBy(), message());
            case FAILED ->
                result.failure().map(Failure::ofRun).orElse(new Failure(Failure.FAILED, "failed", message()));
            case INTERRUPTED -> new Failure(Failure.INTERRUPTED, "interrupted", message());
        };
    }

    private String stoppedBy() {
        return result.events().stream().anyMatch(FinishedRun::isEndBySpike) ? "lossSpike" : "nonFinite";
    }

    private static boolean isEndBySpike(RunEvent event) {
        return event.action() == GuardAction.STOP && event.cause() == RunEvent.Cause.SPIKE;
    }

    /** {@return why it is not complete, in one line; empty if it is} */
    String message() {
        return result.failure()
                .map(thrown -> Failure.ofRun(thrown).message())
                .orElse(Failure.oneLine(result.message()));
    }

    /** {@return how much larger the validation loss is than that of another run; NaN if either has none} */
    double gapTo(Optional<FinishedRun> other) {
        return other.map(o -> result.finalValidationLoss() - o.result.finalValidationLoss())
                .orElse(Double.NaN);
    }

    /** {@return the run in numbers, as compare prints it} */
    ObjectNode summary() {
        ObjectNode json = Json.object(result.summary());
        json.put("seed", config.seed());
        json.put("message", message());
        json.put("folder", folder.toString());
        return json;
    }
}
