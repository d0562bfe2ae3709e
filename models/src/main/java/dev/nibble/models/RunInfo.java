package dev.nibble.models;

/**
 * What is known of a run before its first step.
 *
 * @param quantizer label of the quantizer
 * @param backend name of the backend
 * @param backendDescription the device, in words
 * @param steps optimizer steps that will be run
 * @param tokensPerStep tokens that one step trains on
 * @param parameters trained numbers
 * @param modelSummary the model in one line
 */
public record RunInfo(
        String quantizer,
        String backend,
        String backendDescription,
        int steps,
        long tokensPerStep,
        long parameters,
        String modelSummary) {}
