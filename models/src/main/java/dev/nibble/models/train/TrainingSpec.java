package dev.nibble.models.train;

import dev.nibble.spi.UpdateRule;
import java.util.ArrayList;
import java.util.List;

/**
 * How to train.
 *
 * @param steps optimizer steps, unless the run says otherwise
 * @param microBatches batches whose gradients are added up in a step
 * @param schedule learning rate
 * @param fineTuning steps after those, in which a method may spend more bits
 * @param optimizer how weights move
 * @param clip largest norm of all gradients that is not scaled down
 * @param ema share of the weights' averages that stays in a step; 0 for no averages
 * @param evaluateEvery steps between evaluations; 0 for one at the end only
 * @param telemetryEvery steps between records of how layer inputs were quantized; 0 for none
 */
public record TrainingSpec(
        int steps,
        int microBatches,
        Schedule schedule,
        FineTuning fineTuning,
        UpdateRule optimizer,
        float clip,
        float ema,
        int evaluateEvery,
        int telemetryEvery) {
    /** Checks the ranges. */
    public TrainingSpec {
        List<String> problems = new ArrayList<>();
        require(problems, steps >= 1, "train.steps is " + steps + ", but must be 1 or more");
        require(problems, microBatches >= 1, "train.microBatches is " + microBatches + ", but must be 1 or more");
        require(problems, clip > 0, "train.clip is " + clip + ", but must be above 0");
        require(
                problems,
                ema >= 0 && ema < 1,
                "train.ema is " + ema + ", but must be in [0, 1): 0 for no averages, or a decay such as 0.999");
        require(
                problems,
                evaluateEvery >= 0,
                "train.evaluateEvery is " + evaluateEvery + ", but must be 0 (at the end) or more");
        require(
                problems,
                telemetryEvery >= 0,
                "train.telemetryEvery is " + telemetryEvery + ", but must be 0 (never) or more");
        if (!problems.isEmpty()) {
            throw new IllegalArgumentException(String.join("; ", problems));
        }
    }

    /**
     * {@return the learning rate of a step}
     *
     * @param step from 0; those from {@code lowBitSteps} on are fine-tuning
     * @param lowBitSteps steps of the run before fine-tuning
     */
    public float learningRate(int step, int lowBitSteps) {
        return step < lowBitSteps
                ? schedule.at(step, lowBitSteps)
                : fineTuning.at(step - lowBitSteps, schedule.at(lowBitSteps - 1, lowBitSteps));
    }

    private static void require(List<String> problems, boolean holds, String problem) {
        if (!holds) {
            problems.add(problem);
        }
    }
}
