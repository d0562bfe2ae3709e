package dev.nibble.spi;

/**
 * What a plan may depend on.
 *
 * @param tokens rows of the input
 * @param fresh whether the layer's state has not been advanced yet by a training step
 */
public record PlanRequest(long tokens, boolean fresh) {}
