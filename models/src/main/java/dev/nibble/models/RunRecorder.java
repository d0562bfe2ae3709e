package dev.nibble.models;

import dev.nibble.models.train.Task;
import dev.nibble.report.ExecutionRow;
import java.util.ArrayList;
import java.util.List;

/** Gathers the result of a run while it goes on. */
final class RunRecorder {
    private static final int LAST_STEPS = 10; // steps that finalTrainLoss is the mean of

    private final RunConfig config;
    private final Task task;
    private final String backend;
    private final List<StepRecord> curve = new ArrayList<>();
    private final List<Evaluation> evaluations = new ArrayList<>();
    private final List<LayerTelemetry> telemetry = new ArrayList<>();
    private List<ExecutionRow> execution = List.of();
    private RunResult.Status status = RunResult.Status.COMPLETED;
    private String message = "";
    private long peakBytes;
    private long savedActivationBytes;
    private double stepSeconds;
    private double seconds;

    RunRecorder(RunConfig config, Task task, String backend) {
        this.config = config;
        this.task = task;
        this.backend = backend;
    }

    void step(StepRecord step, double duration) {
        curve.add(step);
        stepSeconds += duration;
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

    RunResult result() {
        double tokens = (double) curve.size() * task.tokens() * task.training().microBatches();
        return new RunResult(
                config.quantizer().label(),
                backend,
                status,
                message,
                curve.size(),
                (int) curve.stream().filter(StepRecord::skipped).count(),
                curve.stream()
                        .skip(Math.max(0, curve.size() - LAST_STEPS))
                        .mapToDouble(StepRecord::loss)
                        .average()
                        .orElse(Double.NaN),
                evaluations.isEmpty() ? Double.NaN : evaluations.getLast().validationLoss(),
                stepSeconds > 0 ? tokens / stepSeconds : Double.NaN,
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
