package dev.nibble.models;

import dev.nibble.models.train.Task;
import java.util.Optional;

/**
 * A configuration in which everything has been found, and data that has been read.
 *
 * @param config what was asked for
 * @param resolution what that means
 * @param task model, data and schedule
 */
record PreparedRun(RunConfig config, RunResolution resolution, Task task) {
    /** {@return optimizer steps before fine-tuning} */
    int steps() {
        return config.steps() > 0 ? config.steps() : task.training().steps();
    }

    /** {@return which quantizer each layer has at each step} */
    PrecisionSchedule precision() {
        return resolution.precision().withSteps(steps());
    }

    /** {@return whether blocks are computed again in the backward pass} */
    boolean recomputes() {
        return RecomputeSetting.isWanted(resolution.values());
    }

    /** {@return everything that decides the numbers} */
    ResolvedConfiguration configuration() {
        return new ResolvedConfiguration(
                config.preset(),
                config.seed(),
                steps(),
                resolution.backend().name(),
                resolution.values().asMap(),
                precision().labels());
    }

    /** {@return a hash of the data} */
    String dataHash() {
        return task.dataHash();
    }

    /**
     * Trains.
     *
     * @param checkpointer writes checkpoints, if that is wanted
     * @throws IllegalArgumentException if a policy needs checkpoints, and there are none
     */
    RunResult train(RunListener listener, Optional<Checkpointer> checkpointer) {
        if (checkpointer.isEmpty() && resolution.guard().does(GuardAction.ROLLBACK, config.nonFinite())) {
            throw new IllegalArgumentException(
                    "the policy rollback of nonfinite or guard.spike goes back to a checkpoint, but this run writes none;"
                            + " nibble train does");
        }
        return new Training(resolution.preset().kind(), this, listener, checkpointer).run(resolution.backend());
    }
}
