package dev.nibble.models;

import dev.nibble.models.train.Task;
import dev.nibble.models.train.TaskKind;
import dev.nibble.report.ExecutionRow;
import dev.nibble.spi.MemoryUse;
import dev.nibble.tensor.MemoryTag;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** Gathers the result of a run while it goes on. */
final class RunRecorder {
    private static final int LAST_STEPS = 10; // steps that finalTrainLoss is the mean of

    private final TaskKind kind;
    private final RunConfig config;
    private final Task task;
    private final String backend;
    private final RunHistory before;
    private final List<StepRecord> curve;
    private final List<Evaluation> evaluations;
    private final List<LayerTelemetry> telemetry;
    private final List<RunEvent> events;
    private List<ExecutionRow> execution;
    private RunResult.Status status = RunResult.Status.COMPLETED;
    private String message = "";
    private Optional<Throwable> failure = Optional.empty();
    private String device = "";
    private long peakBytes;
    private long heldBytes;
    private long savedActivationBytes;
    private double seconds;
    private Optional<MemoryForecast> forecast = Optional.empty();
    private Map<MemoryTag, Long> live = Map.of();

    RunRecorder(TaskKind kind, RunConfig config, Task task, String backend, RunHistory before) {
        this.kind = kind;
        this.config = config;
        this.task = task;
        this.backend = backend;
        this.before = before;
        this.curve = new ArrayList<>(before.curve());
        this.evaluations = new ArrayList<>(before.evaluations());
        this.telemetry = new ArrayList<>(before.telemetry());
        this.events = new ArrayList<>(before.events());
        this.execution = before.execution();
        this.peakBytes = before.peakBytes();
        this.savedActivationBytes = before.savedActivationBytes();
        this.seconds = before.seconds();
    }

    /** {@return seconds that the run had taken when it was continued; 0 if it was not} */
    double secondsBefore() {
        return before.seconds();
    }

    /** {@return whether there was an evaluation after so many steps} */
    boolean hasEvaluated(int stepsDone) {
        return evaluations.stream().anyMatch(evaluation -> evaluation.step() == stepsDone);
    }

    /** {@return the evaluation with the lowest loss, the first of several; NaN is never the lowest} */
    Optional<Evaluation> bestEvaluation() {
        return RunHistory.best(evaluations);
    }

    /** {@return what has been reported until now} */
    RunHistory history(double elapsedSeconds, long peak, List<ExecutionRow> rows) {
        return new RunHistory(
                        curve,
                        evaluations,
                        telemetry,
                        before.execution(),
                        elapsedSeconds,
                        before.peakBytes(),
                        savedActivationBytes,
                        events)
                .with(peak, rows);
    }

    void opened(String description) {
        device = description;
    }

    void step(StepRecord step) {
        curve.add(step);
    }

    void evaluated(Evaluation evaluation) {
        evaluations.add(evaluation);
    }

    void telemetry(LayerTelemetry row) {
        telemetry.add(row);
    }

    void event(RunEvent event) {
        events.add(event);
    }

    /** {@return the steps that count: those that a run went back over do not} */
    List<StepRecord> curve() {
        return Collections.unmodifiableList(curve);
    }

    /** {@return what changed the course of the run} */
    List<RunEvent> events() {
        return Collections.unmodifiableList(events);
    }

    /** Forgets what was reported after a checkpoint, but for what the guard did. */
    void goBack(RunHistory then) {
        int steps = then.curve().size();
        curve.subList(steps, curve.size()).clear();
        evaluations.removeIf(evaluation -> evaluation.step() > steps);
        telemetry.removeIf(row -> row.step() >= steps);
        events.removeIf(event -> event.cause() == RunEvent.Cause.SCHEDULE && event.step() >= steps);
    }

    /** Takes what a run is predicted to hold. */
    void forecast(MemoryForecast memory) {
        forecast = Optional.of(memory);
    }

    /** Takes what is held at the end of the first forward pass since the run began or went on. */
    void live(MemoryUse use, int step) {
        live = use.live();
        if (step == 0) {
            savedActivationBytes = use.live(MemoryTag.CONTEXT);
        }
    }

    void elapsed(double value) {
        seconds = value;
    }

    void measured(MemoryUse use, List<ExecutionRow> rows) {
        heldBytes = use.heldBytes();
        RunHistory all = before.with(use.peakBytes(), rows);
        peakBytes = all.peakBytes();
        execution = all.execution();
    }

    void end(RunResult.Status how, String why) {
        status = how;
        message = why;
    }

    void failed(RuntimeException thrown) {
        end(RunResult.Status.FAILED, String.valueOf(thrown.getMessage()));
        failure = Optional.of(thrown);
    }

    RunResult result() {
        return new RunResult(
                kind,
                config.quantizer().label(),
                backend,
                device,
                status,
                message,
                failure,
                curve.size(),
                (int) curve.stream().filter(StepRecord::skipped).count(),
                curve.stream()
                        .skip(Math.max(0, curve.size() - LAST_STEPS))
                        .mapToDouble(StepRecord::loss)
                        .average()
                        .orElse(Double.NaN),
                evaluations.isEmpty() ? Double.NaN : evaluations.getLast().validationLoss(),
                evaluations.isEmpty() ? Double.NaN : evaluations.getLast().validationAccuracy(),
                seconds,
                peakBytes,
                savedActivationBytes,
                curve,
                evaluations,
                execution,
                telemetry,
                task.summary(),
                forecast.map(predicted -> new RunMemory(predicted, live, peakBytes, heldBytes)),
                events);
    }
}
