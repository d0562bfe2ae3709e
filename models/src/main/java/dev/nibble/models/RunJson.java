package dev.nibble.models;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.util.DefaultPrettyPrinter;
import dev.nibble.models.train.TaskKind;
import dev.nibble.report.ExecutionRow;
import java.io.IOException;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The record of a run as JSON; a number that is not finite is null. */
final class RunJson {
    private RunJson() {}

    /** {@return what is known before a run begins} */
    static String started(RunOrigin origin, RunConfig config) {
        return text(header(origin, config));
    }

    /** {@return all there is to know} */
    static String ended(RunOrigin origin, RunConfig config, Path folder, RunResult result) {
        Map<String, Object> json = header(origin, config);
        json.putAll(result.summary());
        json.put("folder", folder.toString());
        json.put("device", result.device());
        json.put("model", result.modelSummary());
        json.put(
                "evaluations",
                result.evaluations().stream()
                        .map(evaluation -> evaluation(result.kind(), evaluation))
                        .toList());
        json.put(
                "execution", result.execution().stream().map(RunJson::execution).toList());
        json.put(
                "telemetry", result.telemetry().stream().map(RunJson::telemetry).toList());
        return text(json);
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

    private static Map<String, Object> evaluation(TaskKind kind, Evaluation evaluation) {
        Map<String, Object> json = new LinkedHashMap<>();
        json.put("step", evaluation.step());
        json.put("validationLoss", evaluation.validationLoss());
        if (kind.hasAccuracy()) {
            json.put("validationAccuracy", evaluation.validationAccuracy());
        }
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

    private static String text(Map<String, Object> tree) {
        StringWriter text = new StringWriter();
        try (JsonGenerator json = new JsonFactory().createGenerator(text)) {
            json.setPrettyPrinter(new DefaultPrettyPrinter());
            write(json, tree);
        } catch (IOException e) {
            throw new UncheckedIOException("a text in memory cannot be written", e);
        }
        return text + "\n";
    }

    private static void write(JsonGenerator json, Object value) throws IOException {
        switch (value) {
            case Map<?, ?> map -> {
                json.writeStartObject();
                for (Map.Entry<?, ?> entry : map.entrySet()) {
                    json.writeFieldName(String.valueOf(entry.getKey()));
                    write(json, entry.getValue());
                }
                json.writeEndObject();
            }
            case List<?> list -> {
                json.writeStartArray();
                for (Object element : list) {
                    write(json, element);
                }
                json.writeEndArray();
            }
            case Double number when !Double.isFinite(number) -> json.writeNull();
            default -> json.writePOJO(value); // a string, number or boolean
        }
    }
}
