package dev.nibble.models;

/**
 * One optimizer step.
 *
 * @param step number of the step, from 0
 * @param loss mean cross-entropy over the step's tokens, nats, before the update
 * @param learningRate learning rate of the step
 * @param gradientNorm Euclidean norm of all gradients before clipping
 * @param skipped whether the update was left out because something was not finite
 * @param tokensPerSecond tokens of the step over its own duration
 * @param elapsedSeconds time since the first step began, evaluations included
 */
public record StepRecord(
        int step,
        double loss,
        double learningRate,
        double gradientNorm,
        boolean skipped,
        double tokensPerSecond,
        double elapsedSeconds) {}
