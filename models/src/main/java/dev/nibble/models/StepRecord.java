package dev.nibble.models;

import dev.nibble.spi.PlanRequest;

/**
 * One optimizer step.
 *
 * @param step number of the step, from 0
 * @param loss mean cross-entropy over the step's tokens or samples, nats, before the update
 * @param learningRate learning rate of the step
 * @param gradientNorm Euclidean norm of all gradients before clipping
 * @param skipped whether the update was left out because something was not finite, or the loss a spike
 * @param unitsPerSecond tokens or samples of the step over its own duration
 * @param elapsedSeconds time since the first step began, evaluations included
 * @param phase part of the training that the step belongs to
 */
public record StepRecord(
        int step,
        double loss,
        double learningRate,
        double gradientNorm,
        boolean skipped,
        double unitsPerSecond,
        double elapsedSeconds,
        PlanRequest.Phase phase) {
    /** Makes a step of the low-bit phase. */
    public StepRecord(
            int step,
            double loss,
            double learningRate,
            double gradientNorm,
            boolean skipped,
            double unitsPerSecond,
            double elapsedSeconds) {
        this(
                step,
                loss,
                learningRate,
                gradientNorm,
                skipped,
                unitsPerSecond,
                elapsedSeconds,
                PlanRequest.Phase.LOW_BIT);
    }
}
