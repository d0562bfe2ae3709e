package dev.nibble.models;

/** Hears what a run does while it does it, on the thread that called {@link Runs#train}. Every method may be left out. */
public interface RunListener {
    /** A listener that does nothing. */
    RunListener SILENT = new RunListener() {};

    /** The configuration is valid, the data is read, and the first step is about to begin. */
    default void started(RunInfo info) {}

    /**
     * Something happened that people should know and that is no failure: a checkpoint that cannot be used, say.
     *
     * @param message one sentence
     */
    default void notice(String message) {}

    /** A step is done. */
    default void step(StepRecord step) {}

    /** How the input of a layer was quantized in the step that {@link #step} told of last. */
    default void telemetry(LayerTelemetry row) {}

    /** An evaluation is done. */
    default void evaluated(Evaluation evaluation) {}

    /** {@return whether the run should end after the current step} Asked after each step and evaluation window. */
    default boolean stopRequested() {
        return false;
    }
}
