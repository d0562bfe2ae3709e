package dev.nibble.models;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.util.DefaultPrettyPrinter;
import dev.nibble.report.ExecutionRow;
import java.io.IOException;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import java.util.Map;
import java.util.TreeMap;

/** Writes a run as JSON; a number that is not finite is null. */
final class RunJson {
    private final JsonGenerator json;

    private RunJson(JsonGenerator json) {
        this.json = json;
    }

    static String text(RunConfig config, RunResult result) {
        StringWriter text = new StringWriter();
        try (JsonGenerator json = new JsonFactory().createGenerator(text)) {
            json.setPrettyPrinter(new DefaultPrettyPrinter());
            RunJson writer = new RunJson(json);
            json.writeStartObject();
            writer.config(config);
            writer.summary(result);
            writer.evaluations(result);
            writer.execution(result);
            writer.telemetry(result);
            json.writeEndObject();
        } catch (IOException e) {
            throw new UncheckedIOException("a text in memory cannot be written", e);
        }
        return text + "\n";
    }

    private void config(RunConfig config) throws IOException {
        json.writeObjectFieldStart("config");
        json.writeStringField("preset", config.preset());
        json.writeStringField("quantizer", config.quantizer().label());
        json.writeArrayFieldStart("overrides");
        for (LayerOverride override : config.overrides()) {
            json.writeStartObject();
            json.writeStringField("pattern", override.pattern());
            json.writeStringField("quantizer", override.choice().label());
            json.writeEndObject();
        }
        json.writeEndArray();
        json.writeStringField("backend", config.backend());
        json.writeNumberField("seed", config.seed());
        json.writeNumberField("steps", config.steps());
        json.writeNumberField("threads", config.threads());
        json.writeBooleanField("strict", config.strict());
        json.writeStringField("nonFinite", config.nonFinite().name());
        json.writeObjectFieldStart("settings");
        for (Map.Entry<String, String> setting : new TreeMap<>(config.settings()).entrySet()) {
            json.writeStringField(setting.getKey(), setting.getValue());
        }
        json.writeEndObject();
        json.writeEndObject();
    }

    private void summary(RunResult result) throws IOException {
        json.writeStringField("model", result.modelSummary());
        json.writeStringField("quantizer", result.quantizer());
        json.writeStringField("backend", result.backend());
        json.writeStringField("status", result.status().name());
        json.writeStringField("message", result.message());
        json.writeNumberField("steps", result.steps());
        json.writeNumberField("skippedSteps", result.skippedSteps());
        number("finalTrainLoss", result.finalTrainLoss());
        number("finalValidationLoss", result.finalValidationLoss());
        number("tokensPerSecond", result.tokensPerSecond());
        number("seconds", result.seconds());
        json.writeNumberField("peakBytes", result.peakBytes());
        json.writeNumberField("savedActivationBytes", result.savedActivationBytes());
    }

    private void evaluations(RunResult result) throws IOException {
        json.writeArrayFieldStart("evaluations");
        for (Evaluation evaluation : result.evaluations()) {
            json.writeStartObject();
            json.writeNumberField("step", evaluation.step());
            number("validationLoss", evaluation.validationLoss());
            json.writeEndObject();
        }
        json.writeEndArray();
    }

    private void execution(RunResult result) throws IOException {
        json.writeArrayFieldStart("execution");
        for (ExecutionRow row : result.execution()) {
            json.writeStartObject();
            json.writeStringField("layer", row.layer());
            json.writeStringField("product", row.product());
            json.writeStringField("requestedFormat", row.requestedFormat());
            json.writeStringField("storedFormat", row.storedFormat());
            json.writeStringField("kernel", row.kernel());
            json.writeStringField("computeType", row.computeType());
            json.writeBooleanField("fromStoredCodes", row.fromStoredCodes());
            json.writeStringField("reason", row.reason());
            json.writeEndObject();
        }
        json.writeEndArray();
    }

    private void telemetry(RunResult result) throws IOException {
        json.writeArrayFieldStart("telemetry");
        for (LayerTelemetry row : result.telemetry()) {
            json.writeStartObject();
            json.writeStringField("layer", row.layer());
            json.writeNumberField("step", row.step());
            number("amax", row.amax());
            number("fallbackRate", row.fallbackRate());
            number("threshold", row.threshold());
            number("outlierRatio", row.outlierRatio());
            json.writeEndObject();
        }
        json.writeEndArray();
    }

    private void number(String name, double value) throws IOException {
        if (Double.isFinite(value)) {
            json.writeNumberField(name, value);
        } else {
            json.writeNullField(name);
        }
    }
}
