package dev.nibble.models;

import java.util.List;

/**
 * The linear layers of a checkpoint, each with what it works on in the next step of the run.
 *
 * @param step optimizer steps done, and the number of the step
 * @param preset name of the preset
 * @param backend name of the backend that computed it
 * @param layers those that the step quantized all three operands of, in the model's order
 */
public record CheckpointSample(int step, String preset, String backend, List<LayerSample> layers) {
    /** Copies the list. */
    public CheckpointSample {
        layers = List.copyOf(layers);
    }
}
