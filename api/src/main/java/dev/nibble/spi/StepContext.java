package dev.nibble.spi;

/**
 * Where in training a piece of work stands. A backend uploads the numbers; kernels read them from the device, so that a
 * recorded step can be replayed.
 *
 * @param step optimizer step, from 0
 * @param microBatch micro-batch within the step, from 0, counted over all processes
 * @param mode whether state may advance
 * @param learningRate learning rate of this step
 * @param phase part of the training
 */
public record StepContext(int step, int microBatch, Mode mode, float learningRate, PlanRequest.Phase phase) {
    /** Whether a pass may change quantizer state. */
    public enum Mode {
        /** State advances. */
        TRAIN,
        /** State is frozen; nothing is kept for a backward pass. */
        EVAL,
        /** A forward pass of training is repeated, to the same bits: state is frozen, and a backward pass follows. */
        RECOMPUTE,
        /** State advances; nothing is kept, since the pass will be repeated before its backward pass. */
        ADVANCE
    }

    /** Makes a context of the low-bit phase. */
    public StepContext(int step, int microBatch, Mode mode, float learningRate) {
        this(step, microBatch, mode, learningRate, PlanRequest.Phase.LOW_BIT);
    }

    /** {@return whether state advances} */
    public boolean training() {
        return mode == Mode.TRAIN || mode == Mode.ADVANCE;
    }

    /** {@return whether a backward pass follows, and needs what is kept now} */
    public boolean keepsContext() {
        return mode == Mode.TRAIN || mode == Mode.RECOMPUTE;
    }

    /** {@return this context in another mode} */
    public StepContext in(Mode other) {
        return new StepContext(step, microBatch, other, learningRate, phase);
    }

    /** {@return the context of one training step with a single micro-batch} */
    public static StepContext train(int step, float learningRate) {
        return new StepContext(step, 0, Mode.TRAIN, learningRate);
    }

    /** {@return the context of an evaluation after this step} */
    public static StepContext eval(int step) {
        return new StepContext(step, 0, Mode.EVAL, 0);
    }
}
