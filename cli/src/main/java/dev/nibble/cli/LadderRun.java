package dev.nibble.cli;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.nibble.models.LayerTelemetry;
import dev.nibble.models.RunResult;
import dev.nibble.models.files.JsonFields;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SequencedMap;

/**
 * What is kept of a run of a ladder.
 *
 * @param key what must be the same for the run to count: configuration, version, backend
 * @param task name of the task
 * @param row label of the row
 * @param seed its seed
 * @param completed whether all steps were done; if not, something was not finite, and it has no losses
 * @param loss validation loss at the end
 * @param accuracy share of validation samples classified right at the end; NaN for a language model
 * @param trainLoss mean training loss of the last steps
 * @param fallbackRate share of the blocks with a residual, in the second half of the steps; NaN without fallback
 * @param seconds time of the steps and evaluations
 * @param machine what it ran on
 */
record LadderRun(
        String key,
        String task,
        String row,
        long seed,
        boolean completed,
        double loss,
        double accuracy,
        double trainLoss,
        double fallbackRate,
        double seconds,
        String machine) {

    /** {@return what is kept of a result} */
    static LadderRun of(String key, Ladder.Task task, Ladder.Row row, long seed, RunResult result) {
        boolean completed = result.status() == RunResult.Status.COMPLETED;
        return new LadderRun(
                key,
                task.name(),
                row.label(),
                seed,
                completed,
                completed ? result.finalValidationLoss() : Double.NaN,
                completed ? result.finalValidationAccuracy() : Double.NaN,
                completed ? result.finalTrainLoss() : Double.NaN,
                fallbackRate(result.telemetry(), result.steps()),
                result.seconds(),
                result.device());
    }

    /** {@return the mean over the layers that fall back, whose threshold is not 0, and over the second half of the steps} */
    static double fallbackRate(List<LayerTelemetry> telemetry, int steps) {
        return telemetry.stream()
                .filter(row -> row.threshold() != 0 && row.step() >= steps / 2)
                .mapToDouble(LayerTelemetry::fallbackRate)
                .average()
                .orElse(Double.NaN);
    }

    private RunResult.Status status() {
        return completed ? RunResult.Status.COMPLETED : RunResult.Status.STOPPED;
    }

    /** {@return the run as JSON} */
    ObjectNode json() {
        return Json.object(fields());
    }

    private SequencedMap<String, Object> fields() {
        SequencedMap<String, Object> fields = new LinkedHashMap<>();
        fields.put("key", key);
        fields.put("task", task);
        fields.put("row", row);
        fields.put("seed", seed);
        fields.put("status", status().label());
        fields.put("validationLoss", JsonFields.numberOrText(loss));
        fields.put("validationAccuracy", JsonFields.numberOrText(accuracy));
        fields.put("trainLoss", JsonFields.numberOrText(trainLoss));
        fields.put("fallbackRate", JsonFields.numberOrText(fallbackRate));
        fields.put("seconds", JsonFields.numberOrText(seconds));
        fields.put("machine", machine);
        return fields;
    }

    /**
     * {@return a run from JSON}
     *
     * @throws dev.nibble.error.FormatException naming what is missing or unfit
     */
    static LadderRun of(JsonFields json) {
        return new LadderRun(
                json.text("key"),
                json.text("task"),
                json.text("row"),
                json.whole("seed", Long.MIN_VALUE, Long.MAX_VALUE),
                json.text("status").equals(RunResult.Status.COMPLETED.label()),
                json.number("validationLoss"),
                json.number("validationAccuracy"),
                json.number("trainLoss"),
                json.number("fallbackRate"),
                json.number("seconds"),
                json.text("machine"));
    }

    /** {@return numbers and texts by name, for the record of all runs} */
    Map<String, Object> summary() {
        SequencedMap<String, Object> summary = new LinkedHashMap<>();
        summary.put("task", task);
        summary.put("row", row);
        summary.put("seed", seed);
        summary.put("status", status().label());
        summary.put("validationLoss", loss);
        summary.put("validationAccuracy", accuracy);
        summary.put("trainLoss", trainLoss);
        summary.put("fallbackRate", fallbackRate);
        summary.put("seconds", seconds);
        return summary;
    }
}
