package dev.nibble.models;

import dev.nibble.error.FormatException;
import dev.nibble.models.files.JsonFields;
import dev.nibble.report.ExecutionRow;
import dev.nibble.spi.PlanRequest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.function.Function;
import java.util.stream.Stream;

/**
 * What a run has reported so far: what its record at the end needs besides what is still to come.
 *
 * @param curve the steps
 * @param evaluations the evaluations
 * @param telemetry how layer inputs were quantized
 * @param execution what products ran as
 * @param seconds time from the first step
 * @param peakBytes largest amount of memory held
 * @param savedActivationBytes bytes held for the backward pass
 * @param events what changed its course
 */
record RunHistory(
        List<StepRecord> curve,
        List<Evaluation> evaluations,
        List<LayerTelemetry> telemetry,
        List<ExecutionRow> execution,
        double seconds,
        long peakBytes,
        long savedActivationBytes,
        List<RunEvent> events) {
    /** What a run has at its first step. */
    static final RunHistory EMPTY = new RunHistory(List.of(), List.of(), List.of(), List.of(), 0, 0, 0, List.of());

    /** Copies the lists. */
    RunHistory {
        curve = List.copyOf(curve);
        evaluations = List.copyOf(evaluations);
        telemetry = List.copyOf(telemetry);
        execution = List.copyOf(execution);
        events = List.copyOf(events);
    }

    /** {@return the history as JSON: rows are lists, a number that is not finite is a text} */
    Map<String, Object> json() {
        Map<String, Object> json = new LinkedHashMap<>();
        json.put("seconds", seconds);
        json.put("peakBytes", peakBytes);
        json.put("savedActivationBytes", savedActivationBytes);
        json.put(
                "stepColumns",
                List.of(
                        "step",
                        "trainLoss",
                        "learningRate",
                        "gradientNorm",
                        "skipped",
                        "unitsPerSecond",
                        "elapsedSeconds",
                        "phase"));
        json.put("steps", curve.stream().map(RunHistory::row).toList());
        json.put("evaluationColumns", List.of("step", "validationLoss", "validationAccuracy", "scores"));
        json.put("evaluations", evaluations.stream().map(RunHistory::row).toList());
        json.put(
                "telemetryColumns",
                List.of("layer", "step", "amax", "fallbackRate", "threshold", "outlierRatio", "state"));
        json.put("telemetry", telemetry.stream().map(RunHistory::row).toList());
        json.put(
                "executionColumns",
                List.of(
                        "layer",
                        "product",
                        "requestedFormat",
                        "storedFormat",
                        "kernel",
                        "computeType",
                        "fromStoredCodes",
                        "reason"));
        json.put("execution", execution.stream().map(RunHistory::row).toList());
        json.put("eventColumns", List.of("step", "cause", "action", "layers", "nextStep", "message"));
        json.put(
                "events",
                events.stream()
                        .map(event -> List.copyOf(event.facts().values()))
                        .toList());
        return json;
    }

    private static List<Object> row(StepRecord step) {
        return List.of(
                step.step(),
                JsonFields.numberOrText(step.loss()),
                JsonFields.numberOrText(step.learningRate()),
                JsonFields.numberOrText(step.gradientNorm()),
                step.skipped(),
                JsonFields.numberOrText(step.unitsPerSecond()),
                JsonFields.numberOrText(step.elapsedSeconds()),
                step.phase().name());
    }

    private static List<Object> row(Evaluation evaluation) {
        Map<String, Object> scores = new LinkedHashMap<>();
        evaluation.scores().forEach((name, value) -> scores.put(name, JsonFields.numberOrText(value)));
        return List.of(
                evaluation.step(),
                JsonFields.numberOrText(evaluation.validationLoss()),
                JsonFields.numberOrText(evaluation.validationAccuracy()),
                scores);
    }

    private static List<Object> row(LayerTelemetry row) {
        SortedMap<String, Object> state = new TreeMap<>();
        row.state().forEach((name, value) -> state.put(name, JsonFields.numberOrText(value)));
        return List.of(
                row.layer(),
                row.step(),
                JsonFields.numberOrText(row.amax()),
                JsonFields.numberOrText(row.fallbackRate()),
                JsonFields.numberOrText(row.threshold()),
                JsonFields.numberOrText(row.outlierRatio()),
                state);
    }

    private static List<Object> row(ExecutionRow row) {
        return List.of(
                row.layer(),
                row.product(),
                row.requestedFormat(),
                row.storedFormat(),
                row.kernel(),
                row.computeType(),
                row.fromStoredCodes(),
                row.reason());
    }

    /**
     * {@return a history from JSON}
     *
     * @param steps how many steps it must have
     * @throws FormatException naming what is missing or unfit
     */
    static RunHistory of(JsonFields json, int steps) {
        List<StepRecord> curve = new ArrayList<>();
        for (Object row : json.list("steps")) {
            curve.add(step(new Row(json, "steps", row, 8), curve.size()));
        }
        if (curve.size() != steps) {
            throw new FormatException(
                    "%s has %d steps, but the checkpoint is one after %d".formatted(json.what(), curve.size(), steps));
        }
        List<Evaluation> evaluations = new ArrayList<>();
        for (Object cells : json.list("evaluations")) {
            int columns = cells instanceof List<?> list && list.size() == 3 ? 3 : 4; // version 0.1 had no scores
            evaluations.add(evaluation(new Row(json, "evaluations", cells, columns), steps));
        }
        List<LayerTelemetry> telemetry = new ArrayList<>();
        for (Object row : json.list("telemetry")) {
            telemetry.add(telemetry(new Row(json, "telemetry", row, 7), steps));
        }
        List<ExecutionRow> execution = new ArrayList<>();
        for (Object row : json.list("execution")) {
            execution.add(execution(new Row(json, "execution", row, 8)));
        }
        return new RunHistory(
                curve,
                evaluations,
                telemetry,
                execution,
                json.number("seconds"),
                json.whole("peakBytes", 0, Long.MAX_VALUE),
                json.whole("savedActivationBytes", 0, Long.MAX_VALUE),
                events(json));
    }

    private static List<RunEvent> events(JsonFields json) {
        List<RunEvent> events = new ArrayList<>();
        for (Object cells : json.has("events") ? json.list("events") : List.of()) { // version 0.1 had none
            Row row = new Row(json, "events", cells, 6);
            events.add(new RunEvent(
                    row.whole(0, Integer.MAX_VALUE),
                    row.one(1, RunEvent.Cause.values(), RunEvent.Cause::label),
                    row.one(2, GuardAction.values(), GuardAction::label),
                    row.texts(3),
                    row.whole(4, row.whole(0, Integer.MAX_VALUE - 1) + 1),
                    row.text(5)));
        }
        return events;
    }

    private static StepRecord step(Row row, int step) {
        if (row.whole(0, Integer.MAX_VALUE) != step) {
            throw row.unfit(0, "the number " + step);
        }
        PlanRequest.Phase phase = row.one(7, PlanRequest.Phase.values(), PlanRequest.Phase::name);
        return new StepRecord(
                step, row.number(1), row.number(2), row.number(3), row.flag(4), row.number(5), row.number(6), phase);
    }

    private static Evaluation evaluation(Row row, int steps) {
        SequencedMap<String, Double> scores = new LinkedHashMap<>();
        if (row.cells().size() > 3) {
            JsonFields fields =
                    row.json().object("the scores in 'evaluations'", row.cells().get(3));
            fields.fields().keySet().forEach(name -> scores.put(name, fields.number(name)));
        }
        return new Evaluation(row.whole(0, steps), row.number(1), row.number(2), scores);
    }

    private static LayerTelemetry telemetry(Row row, int steps) {
        SortedMap<String, Double> state = new TreeMap<>();
        JsonFields fields =
                row.json().object("the state in 'telemetry'", row.cells().get(6));
        fields.fields().keySet().forEach(name -> state.put(name, fields.number(name)));
        return new LayerTelemetry(
                row.text(0), row.whole(1, steps), row.number(2), row.number(3), row.number(4), row.number(5), state);
    }

    private static ExecutionRow execution(Row row) {
        return new ExecutionRow(
                row.text(0), row.text(1), row.text(2), row.text(3), row.text(4), row.text(5), row.flag(6), row.text(7));
    }

    /** A row of a table, its cells asked for by number and type. */
    private record Row(JsonFields json, String table, List<Object> cells) {
        Row(JsonFields json, String table, Object value, int columns) {
            this(json, table, value instanceof List<?> list ? new ArrayList<>(list) : List.of());
            if (cells.size() != columns) {
                throw new FormatException("%s: a row of '%s' is no list of %d".formatted(json.what(), table, columns));
            }
        }

        String text(int column) {
            if (cells.get(column) instanceof String text) {
                return text;
            }
            throw unfit(column, "a text");
        }

        List<String> texts(int column) {
            if (cells.get(column) instanceof List<?> list && list.stream().allMatch(String.class::isInstance)) {
                return list.stream().map(String.class::cast).toList();
            }
            throw unfit(column, "a list of texts");
        }

        <T> T one(int column, T[] values, Function<T, String> name) {
            List<String> names = Arrays.stream(values).map(name).toList();
            int at = names.indexOf(text(column));
            if (at < 0) {
                throw unfit(column, "one of " + names);
            }
            return values[at];
        }

        boolean flag(int column) {
            if (cells.get(column) instanceof Boolean flag) {
                return flag;
            }
            throw unfit(column, "true or false");
        }

        int whole(int column, int most) {
            if (cells.get(column) instanceof Long whole && whole >= 0 && whole <= most) {
                return (int) (long) whole;
            }
            throw unfit(column, "a whole number in 0.." + most);
        }

        double number(int column) {
            return json.number(cells.get(column));
        }

        FormatException unfit(int column, String needed) {
            return new FormatException("%s: column %d of a row of '%s' is %s, but must be %s"
                    .formatted(json.what(), column, table, JsonFields.describe(cells.get(column)), needed));
        }
    }

    /** {@return this history with what products ran as and how much memory they held until now} */
    RunHistory with(long peak, List<ExecutionRow> rows) {
        List<ExecutionRow> all =
                Stream.concat(execution.stream(), rows.stream()).distinct().toList();
        return new RunHistory(
                curve, evaluations, telemetry, all, seconds, Math.max(peakBytes, peak), savedActivationBytes, events);
    }

    /** {@return the evaluation with the lowest decisive loss, the first of several; NaN is never the lowest} */
    static Optional<Evaluation> best(List<Evaluation> evaluations) {
        return evaluations.stream()
                .filter(evaluation -> !Double.isNaN(evaluation.decisiveLoss()))
                .min(Comparator.comparingDouble(Evaluation::decisiveLoss));
    }
}
