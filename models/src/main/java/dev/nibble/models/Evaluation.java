package dev.nibble.models;

/**
 * How well held-out data is predicted.
 *
 * @param step optimizer steps done before
 * @param validationLoss mean cross-entropy over the fixed validation windows or samples, nats
 * @param validationAccuracy share of the validation samples that are classified right, in [0, 1]; NaN for a language
 *     model
 */
public record Evaluation(int step, double validationLoss, double validationAccuracy) {}
