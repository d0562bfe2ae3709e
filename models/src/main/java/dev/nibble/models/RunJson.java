package dev.nibble.models;

import dev.nibble.models.files.JsonTree;
import dev.nibble.models.train.TaskKind;
import dev.nibble.report.ExecutionRow;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;

/** The record of a run as JSON; a number that is not finite is null. */
final class RunJson {
    private RunJson() {}

    /** {@return what is known before a run begins} */
    static String started(RunOrigin origin, RunConfig config) {
        return JsonTree.text(header(origin, config));
    }

    /** {@return all there is to know} */
    static String ended(RunOrigin origin, RunConfig config, Path folder, RunResult result) {
        Map<String, Object> json = header(origin, config);
        json.putAll(result.summary());
        json.put("folder", folder.toString());
        json.put("device", result.device());
        json.put("model", result.modelSummary());
        result.memory().ifPresent(memory -> json.put("memory", memory(memory)));
        json.put(
                "evaluations",
                result.evaluations().stream()
                        .map(evaluation -> evaluation(result.kind(), evaluation))
                        .toList());
        json.put("events", result.events().stream().map(RunEvent::facts).toList());
        json.put(
                "execution", result.execution().stream().map(RunJson::execution).toList());
        json.put(
                "telemetry", result.telemetry().stream().map(RunJson::telemetry).toList());
        return JsonTree.text(json);
    }

    private static Map<String, Object> header(RunOrigin origin, RunConfig config) {
        Map<String, Object> json = new LinkedHashMap<>();
        json.put("tool", origin.tool());
        json.put("version", origin.version());
        json.put("status", "running");
        json.put("command", origin.command());
        json.put("machine", origin.machine());
        json.put("configuration", config.facts());
        return json;
    }

    private static Map<String, Object> memory(RunMemory memory) {
        Map<String, Object> json = new LinkedHashMap<>();
        for (RunMemory.Row row : memory.rows()) {
            Map<String, Object> bytes = new LinkedHashMap<>();
            bytes.put("predictedBytes", row.predicted());
            row.measured().ifPresent(measured -> bytes.put("measuredBytes", measured));
            json.put(row.name(), bytes);
        }
        json.put(
                "savedActivationsByTensor",
                new LinkedHashMap<>(memory.forecast().savedByTensor()));
        return json;
    }

    private static Map<String, Object> evaluation(TaskKind kind, Evaluation evaluation) {
        Map<String, Object> json = new LinkedHashMap<>();
        json.put("step", evaluation.step());
        json.put("validationLoss", evaluation.validationLoss());
        if (kind.hasAccuracy()) {
            json.put("validationAccuracy", evaluation.validationAccuracy());
        }
        kind.scores().forEach(name -> json.put(name, evaluation.score(name)));
        json.putAll(evaluation.averages());
        return json;
    }

    private static Map<String, Object> execution(ExecutionRow row) {
        Map<String, Object> json = new LinkedHashMap<>();
        json.put("layer", row.layer());
        json.put("product", row.product());
        json.put("requestedFormat", row.requestedFormat());
        json.put("storedFormat", row.storedFormat());
        json.put("kernel", row.kernel());
        json.put("computeType", row.computeType());
        json.put("fromStoredCodes", row.fromStoredCodes());
        json.put("reason", row.reason());
        return json;
    }

    private static Map<String, Object> telemetry(LayerTelemetry row) {
        Map<String, Object> json = new LinkedHashMap<>();
        json.put("layer", row.layer());
        json.put("step", row.step());
        json.put("amax", row.amax());
        json.put("fallbackRate", row.fallbackRate());
        json.put("threshold", row.threshold());
        json.put("outlierRatio", row.outlierRatio());
        json.put("state", row.state());
        return json;
    }
}
