package dev.nibble.models;

/**
 * Loss on held-out text.
 *
 * @param step optimizer steps done before
 * @param validationLoss mean cross-entropy over the fixed validation windows, nats
 */
public record Evaluation(int step, double validationLoss) {}
