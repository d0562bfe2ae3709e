package dev.nibble.models;

import java.util.Collections;
import java.util.SortedMap;
import java.util.TreeMap;

/**
 * How the input of one layer was quantized in one step.
 *
 * @param layer name of the layer
 * @param step number of the step, from 0
 * @param amax largest magnitude in the input
 * @param fallbackRate share of blocks with a residual, in [0, 1]; 0 if the quantizer has no fallback
 * @param threshold block metric (amax by default) above which a block fell back; 0 if the quantizer has no fallback
 * @param outlierRatio largest over median block amax; 0 if the quantizer has no fallback
 * @param state the quantizer's state vectors of length 1 that something reads, after the step, by name, sorted
 */
public record LayerTelemetry(
        String layer,
        int step,
        double amax,
        double fallbackRate,
        double threshold,
        double outlierRatio,
        SortedMap<String, Double> state) {
    /** Copies the map. */
    public LayerTelemetry {
        state = Collections.unmodifiableSortedMap(new TreeMap<>(state));
    }
}
