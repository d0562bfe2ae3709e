package dev.nibble.cli;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.nibble.models.Evaluation;
import dev.nibble.models.LayerOverride;
import dev.nibble.models.LayerTelemetry;
import dev.nibble.models.RunConfig;
import dev.nibble.models.RunResult;
import dev.nibble.models.StepRecord;
import dev.nibble.report.ExecutionRow;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;

/**
 * A run that has ended, well or not.
 *
 * @param config what was run
 * @param folder where its files are
 * @param device the backend's device in words; empty if the run did not get that far
 * @param result what it gave
 */
record FinishedRun(RunConfig config, Path folder, String device, RunResult result) {
    /** {@return whether all steps were done} */
    boolean completed() {
        return result.status() == RunResult.Status.COMPLETED;
    }

    /** {@return how it ended, in one word} */
    String status() {
        return result.status().name().toLowerCase(Locale.ROOT);
    }

    /** {@return how much larger the validation loss is than that of another run; NaN if either has none} */
    double gapTo(Optional<FinishedRun> other) {
        return other.map(o -> result.finalValidationLoss() - o.result.finalValidationLoss())
                .orElse(Double.NaN);
    }

    /**
     * {@return the median speed of the steps in the second half of the run, in tokens per second} While the JVM still
     * compiles, steps are several times slower, and the first run of a comparison would look the worst. NaN without steps.
     */
    double tokensPerSecond() {
        List<StepRecord> curve = result.curve();
        double[] speeds = curve.subList(curve.size() / 2, curve.size()).stream()
                .mapToDouble(StepRecord::tokensPerSecond)
                .sorted()
                .toArray();
        return speeds.length == 0 ? Double.NaN : (speeds[(speeds.length - 1) / 2] + speeds[speeds.length / 2]) / 2;
    }

    /** {@return the run in numbers, as compare prints it} */
    ObjectNode summary() {
        ObjectNode json = Json.object();
        json.put("quantizer", result.quantizer());
        json.put("backend", result.backend());
        json.put("status", status());
        json.put("message", result.message());
        json.put("steps", result.steps());
        json.put("skippedSteps", result.skippedSteps());
        Json.put(json, "finalTrainLoss", result.finalTrainLoss());
        Json.put(json, "finalValidationLoss", result.finalValidationLoss());
        Json.put(json, "tokensPerSecond", tokensPerSecond());
        Json.put(json, "seconds", result.seconds());
        json.put("peakBytes", result.peakBytes());
        json.put("savedActivationBytes", result.savedActivationBytes());
        json.put("folder", folder.toString());
        return json;
    }

    /** {@return all there is to know, as run.json holds it} */
    ObjectNode record(List<String> command) {
        ObjectNode json = header(config, command);
        json.setAll(summary());
        json.put("device", device);
        json.put("model", result.modelSummary());
        ArrayNode evaluations = json.putArray("evaluations");
        for (Evaluation evaluation : result.evaluations()) {
            ObjectNode entry = evaluations.addObject().put("step", evaluation.step());
            Json.put(entry, "validationLoss", evaluation.validationLoss());
        }
        ArrayNode execution = json.putArray("execution");
        for (ExecutionRow row : result.execution()) {
            execution
                    .addObject()
                    .put("layer", row.layer())
                    .put("product", row.product())
                    .put("requestedFormat", row.requestedFormat())
                    .put("storedFormat", row.storedFormat())
                    .put("kernel", row.kernel())
                    .put("computeType", row.computeType())
                    .put("fromStoredCodes", row.fromStoredCodes())
                    .put("reason", row.reason());
        }
        ArrayNode telemetry = json.putArray("telemetry");
        for (LayerTelemetry row : result.telemetry()) {
            ObjectNode entry = telemetry.addObject().put("layer", row.layer()).put("step", row.step());
            Json.put(entry, "amax", row.amax());
            Json.put(entry, "fallbackRate", row.fallbackRate());
            Json.put(entry, "threshold", row.threshold());
            Json.put(entry, "outlierRatio", row.outlierRatio());
        }
        return json;
    }

    /** {@return what is known before a run begins} */
    static ObjectNode header(RunConfig config, List<String> command) {
        ObjectNode json = Json.object();
        json.put("tool", "nibble");
        json.put("version", Nibble.Version.number());
        json.put("status", "running");
        json.set("command", Json.array(command));
        ObjectNode machine = json.putObject("machine");
        Machine.facts().forEach(machine::put);
        ObjectNode configuration = json.putObject("configuration");
        configuration(config).forEach(configuration::put);
        return json;
    }

    /** {@return the configuration as names and values} */
    static Map<String, String> configuration(RunConfig config) {
        Map<String, String> facts = new TreeMap<>();
        facts.put("preset", config.preset());
        facts.put("quantizer", config.quantizer().label());
        facts.put("backend", config.backend());
        facts.put("seed", String.valueOf(config.seed()));
        facts.put("steps", config.steps() == 0 ? "preset's" : String.valueOf(config.steps()));
        facts.put("threads", config.threads() == 0 ? "all" : String.valueOf(config.threads()));
        facts.put("strict", String.valueOf(config.strict()));
        facts.put("nonfinite", config.nonFinite().name().toLowerCase(Locale.ROOT));
        config.settings().forEach((path, value) -> facts.put("set " + path, value));
        int place = 1; // the order counts: the last match wins
        for (LayerOverride override : config.overrides()) {
            facts.put(
                    "layers " + place + ": " + override.pattern(),
                    override.choice().label());
            place++;
        }
        return facts;
    }
}
