package dev.nibble.models;

import dev.nibble.report.ExecutionRow;
import java.util.List;

/**
 * What a run gave. A run that ended early has the values up to there; a number that does not exist is NaN.
 *
 * @param quantizer label of the quantizer
 * @param backend name of the backend
 * @param status how it ended
 * @param message why it ended early; empty if it did not
 * @param steps optimizer steps done, skipped ones included
 * @param skippedSteps steps whose update was left out because something was not finite
 * @param finalTrainLoss mean loss of the last 10 steps, nats
 * @param finalValidationLoss loss on the validation windows at the end, nats
 * @param tokensPerSecond tokens trained on, over the time spent in steps
 * @param seconds time from the first step to the end, evaluations included
 * @param peakBytes largest amount of memory that the backend's allocator held
 * @param savedActivationBytes bytes held for the backward pass at the end of the first forward pass
 * @param curve the steps
 * @param evaluations the evaluations
 * @param execution what each product of each layer ran as
 * @param telemetry how layer inputs were quantized, every few steps
 * @param modelSummary the model in one line
 */
public record RunResult(
        String quantizer,
        String backend,
        Status status,
        String message,
        int steps,
        int skippedSteps,
        double finalTrainLoss,
        double finalValidationLoss,
        double tokensPerSecond,
        double seconds,
        long peakBytes,
        long savedActivationBytes,
        List<StepRecord> curve,
        List<Evaluation> evaluations,
        List<ExecutionRow> execution,
        List<LayerTelemetry> telemetry,
        String modelSummary) {
    /** How a run ended. */
    public enum Status {
        /** All steps were done. */
        COMPLETED,
        /** Something was not finite, and the policy is to stop. */
        STOPPED,
        /** It failed for another reason. */
        FAILED,
        /** The listener asked for the end. */
        INTERRUPTED
    }

    /** Copies the lists. */
    public RunResult {
        curve = List.copyOf(curve);
        evaluations = List.copyOf(evaluations);
        execution = List.copyOf(execution);
        telemetry = List.copyOf(telemetry);
    }
}
