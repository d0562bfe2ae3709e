package dev.nibble.models;

import java.util.List;

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

    /** {@return whether {@link #sampled} should follow some steps} Asked once, before the first one. */
    default boolean wantsSamples() {
        return false;
    }

    /**
     * {@return whether {@link #sampled} should follow a step} Asked before the step, which then holds a copy of all operands more.
     *
     * @param step number of the step, from 0
     */
    default boolean wantsSample(int step) {
        return false;
    }

    /**
     * What the linear layers worked on in the first micro-batch of a step that has ended.
     *
     * @param step number of the step, from 0
     * @param layers those of which there is all
     */
    default void sampled(int step, List<LayerSample> layers) {}

    /** An evaluation is done. */
    default void evaluated(Evaluation evaluation) {}

    /** The course of the run has changed: told as a {@link #notice}, unless this is overridden. */
    default void event(RunEvent event) {
        notice(event.message());
    }

    /**
     * The run has gone back: what it reported until now is this, and no more.
     *
     * @param curve the steps
     * @param evaluations the evaluations
     * @param telemetry how layer inputs were quantized
     */
    default void wentBack(List<StepRecord> curve, List<Evaluation> evaluations, List<LayerTelemetry> telemetry) {}

    /** {@return whether the run should end after the current step} Asked after each step and evaluation window. */
    default boolean stopRequested() {
        return false;
    }
}
