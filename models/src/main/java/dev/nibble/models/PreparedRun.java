package dev.nibble.models;

import dev.nibble.models.train.Task;
import dev.nibble.spi.LinearQuantizer;
import java.util.Map;
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

    /** {@return everything that decides the numbers} */
    ResolvedConfiguration configuration() {
        return new ResolvedConfiguration(
                config.preset(),
                config.seed(),
                steps(),
                resolution.backend().name(),
                resolution.values().asMap(),
                resolution.layerLabels());
    }

    /** {@return a hash of the data} */
    String dataHash() {
        return task.dataHash();
    }

    /**
     * Trains.
     *
     * @param checkpointer writes checkpoints, if that is wanted
     */
    RunResult train(RunListener listener, Optional<Checkpointer> checkpointer) {
        Map<String, LinearQuantizer> byLayer = resolution.layerQuantizers();
        return new Training(resolution.preset().kind(), this, listener, checkpointer)
                .run(resolution.backend(), layer -> byLayer.get(layer.site().name()));
    }
}
