package dev.nibble.models;

import dev.nibble.models.train.TaskKind;
import dev.nibble.report.ExecutionRow;
import dev.nibble.spi.PlanRequest;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.SequencedMap;

/**
 * What a run gave. A run that ended early has the values up to there; a number that does not exist is NaN.
 *
 * @param kind what was learned, and counted
 * @param quantizer label of the quantizer
 * @param backend name of the backend
 * @param device the backend's device in words; empty if the run did not get that far
 * @param status how it ended
 * @param message why it ended early; empty if it did not
 * @param failure what was thrown, if it failed
 * @param steps optimizer steps done, skipped ones included
 * @param skippedSteps steps whose update was left out because something was not finite, or the loss a spike
 * @param finalTrainLoss mean loss of the last 10 steps, nats
 * @param finalValidationLoss loss on the validation windows or samples at the end, nats
 * @param finalValidationAccuracy share of the validation samples that are classified right at the end, in [0, 1]; NaN for
 *     a language model
 * @param seconds time from the first step to the end, evaluations included
 * @param peakBytes largest amount of memory that the backend's allocator held
 * @param savedActivationBytes bytes held for the backward pass at the end of the first forward pass
 * @param curve the steps
 * @param evaluations the evaluations
 * @param execution what each product of each layer ran as
 * @param telemetry how layer inputs were quantized, every few steps
 * @param modelSummary the model in one line
 * @param memory what was predicted to be held, and what was; empty if the run did not get that far
 * @param events what changed its course: the guard acted, or layers got another quantizer
 */
public record RunResult(
        TaskKind kind,
        String quantizer,
        String backend,
        String device,
        Status status,
        String message,
        Optional<Throwable> failure,
        int steps,
        int skippedSteps,
        double finalTrainLoss,
        double finalValidationLoss,
        double finalValidationAccuracy,
        double seconds,
        long peakBytes,
        long savedActivationBytes,
        List<StepRecord> curve,
        List<Evaluation> evaluations,
        List<ExecutionRow> execution,
        List<LayerTelemetry> telemetry,
        String modelSummary,
        Optional<RunMemory> memory,
        List<RunEvent> events) {
    /** Makes a result of a run without events, of which no memory was predicted. */
    public RunResult(
            TaskKind kind,
            String quantizer,
            String backend,
            String device,
            Status status,
            String message,
            Optional<Throwable> failure,
            int steps,
            int skippedSteps,
            double finalTrainLoss,
            double finalValidationLoss,
            double finalValidationAccuracy,
            double seconds,
            long peakBytes,
            long savedActivationBytes,
            List<StepRecord> curve,
            List<Evaluation> evaluations,
            List<ExecutionRow> execution,
            List<LayerTelemetry> telemetry,
            String modelSummary) {
        this(
                kind,
                quantizer,
                backend,
                device,
                status,
                message,
                failure,
                steps,
                skippedSteps,
                finalTrainLoss,
                finalValidationLoss,
                finalValidationAccuracy,
                seconds,
                peakBytes,
                savedActivationBytes,
                curve,
                evaluations,
                execution,
                telemetry,
                modelSummary,
                Optional.empty(),
                List.of());
    }

    /** How a run ended. */
    public enum Status {
        /** All steps were done. */
        COMPLETED,
        /** A step went wrong, and the policy is to stop; or too many did. */
        STOPPED,
        /** It failed for another reason. */
        FAILED,
        /** The listener asked for the end. */
        INTERRUPTED;

        /** {@return the name in records and messages} */
        public String label() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    /** Copies the lists. */
    public RunResult {
        curve = List.copyOf(curve);
        evaluations = List.copyOf(evaluations);
        execution = List.copyOf(execution);
        telemetry = List.copyOf(telemetry);
        events = List.copyOf(events);
    }

    /** {@return the result of a run that failed before its first step} */
    static RunResult failed(TaskKind kind, RunConfig config, Throwable failure) {
        return new RunResult(
                kind,
                config.quantizer().label(),
                config.backend(),
                "",
                Status.FAILED,
                String.valueOf(failure.getMessage()),
                Optional.of(failure),
                0,
                0,
                Double.NaN,
                Double.NaN,
                Double.NaN,
                Double.NaN,
                0,
                0,
                List.of(),
                List.of(),
                List.of(),
                List.of(),
                "");
    }

    /**
     * {@return the median speed of the steps in the second half of the run, in tokens or samples per second} While the JVM
     * still compiles, steps are several times slower, and the first run of a comparison would look the worst. NaN without
     * steps.
     */
    public double unitsPerSecond() {
        double[] speeds = curve.subList(curve.size() / 2, curve.size()).stream()
                .mapToDouble(StepRecord::unitsPerSecond)
                .sorted()
                .toArray();
        return speeds.length == 0 ? Double.NaN : (speeds[(speeds.length - 1) / 2] + speeds[speeds.length / 2]) / 2;
    }

    /** {@return how many of the steps were fine-tuning} */
    public int fineTuneSteps() {
        return (int) curve.stream()
                .filter(step -> step.phase() == PlanRequest.Phase.FINE_TUNE)
                .count();
    }

    /** {@return a score of the last evaluation, one of {@link TaskKind#scores} or {@link Evaluation#averageNames}; NaN if there was none} */
    public double score(String name) {
        return evaluations.isEmpty() ? Double.NaN : evaluations.getLast().score(name);
    }

    /** {@return the numbers of the run by name, as records and reports show them; strings, integers and doubles} */
    public SequencedMap<String, Object> summary() {
        SequencedMap<String, Object> summary = new LinkedHashMap<>();
        summary.put("quantizer", quantizer);
        summary.put("backend", backend);
        summary.put("status", status.label());
        summary.put("message", message);
        summary.put("steps", steps);
        if (fineTuneSteps() > 0) {
            summary.put("fineTuneSteps", fineTuneSteps());
        }
        summary.put("skippedSteps", skippedSteps);
        long acted = events.stream().filter(RunEvent::acted).count();
        if (acted > 0) {
            summary.put("guardEvents", acted);
        }
        summary.put("finalTrainLoss", finalTrainLoss);
        summary.put("finalValidationLoss", finalValidationLoss);
        if (kind.hasAccuracy()) {
            summary.put("finalValidationAccuracy", finalValidationAccuracy);
        }
        kind.scores().forEach(name -> summary.put(name, score(name)));
        if (!evaluations.isEmpty()) {
            summary.putAll(evaluations.getLast().averages());
        }
        summary.put(kind.speedKey(), unitsPerSecond());
        summary.put("seconds", seconds);
        summary.put("peakBytes", peakBytes);
        summary.put("savedActivationBytes", savedActivationBytes);
        return summary;
    }
}
