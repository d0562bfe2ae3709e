package dev.nibble.models;

import dev.nibble.models.train.TaskKind;
import java.util.Optional;

/**
 * What is known of a run before its first step.
 *
 * @param kind what is learned, and counted
 * @param quantizer label of the quantizer
 * @param backend name of the backend
 * @param backendDescription the device, in words
 * @param steps optimizer steps that will be run
 * @param unitsPerStep tokens or samples that one step trains on
 * @param parameters trained numbers
 * @param modelSummary the model in one line
 * @param memory what the run will hold; empty if that cannot be told
 */
public record RunInfo(
        TaskKind kind,
        String quantizer,
        String backend,
        String backendDescription,
        int steps,
        long unitsPerStep,
        long parameters,
        String modelSummary,
        Optional<MemoryForecast> memory) {}
