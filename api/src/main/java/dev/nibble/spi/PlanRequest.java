package dev.nibble.spi;

/**
 * What a plan may depend on.
 *
 * @param tokens rows of the input
 * @param fresh whether the layer's state is still being set up: fewer than {@link LinearQuantizer#freshSteps} training
 *     steps have advanced it
 * @param phase part of the training
 */
public record PlanRequest(long tokens, boolean fresh, Phase phase) {
    /** A part of the training, known to the host. */
    public enum Phase {
        /** Low-bit training. */
        LOW_BIT,
        /** The end of a training, in which a method may spend more bits. */
        FINE_TUNE
    }

    /** Asks for a plan of the low-bit phase. */
    public PlanRequest(long tokens, boolean fresh) {
        this(tokens, fresh, Phase.LOW_BIT);
    }
}
