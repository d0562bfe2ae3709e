package dev.nibble.models;

import dev.nibble.models.train.Task;
import dev.nibble.models.train.TaskKind;
import dev.nibble.report.ExecutionRow;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** Gathers the result of a run while it goes on. */
final class RunRecorder {
    private static final int LAST_STEPS = 10; // steps that finalTrainLoss is the mean of

    private final TaskKind kind;
    private final RunConfig config;
    private final Task task;
    private final String backend;
    private final List<StepRecord> curve = new ArrayList<>();
    private final List<Evaluation> evaluations = new ArrayList<>();
    private final List<LayerTelemetry> telemetry = new ArrayList<>();
    private List<ExecutionRow> execution = List.of();
    private RunResult.Status status = RunResult.Status.COMPLETED;
    private String message = "";
    private Optional<Throwable> failure = Optional.empty();
    private String device = "";
    private long peakBytes;
    private long savedActivationBytes;
    private double seconds;

    RunRecorder(TaskKind kind, RunConfig config, Task task, String backend) {
        this.kind = kind;
        this.config = config;
        this.task = task;
        this.backend = backend;
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

    void saved(long bytes) {
        savedActivationBytes = bytes;
    }

    void elapsed(double value) {
        seconds = value;
    }

    void measured(long peak, List<ExecutionRow> rows) {
        peakBytes = peak;
        execution = rows;
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
                task.summary());
    }
}
