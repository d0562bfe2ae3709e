package dev.nibble.quant;

/** Where the threshold comes from above which a block falls back to a residual plane. */
public sealed interface Threshold {
    /**
     * A device value of the layer, settled before this tensor was seen: each block decides alone, in one pass.
     *
     * @param state name of the layer's state vector; element 0 counts
     */
    record Delayed(String state) implements Threshold {}

    /**
     * The nearest-rank quantile of this tensor's own block metric. Needs a second pass.
     *
     * @param quantile in [0, 1]; rank ceil(quantile · blocks), at least 1
     */
    record ExactQuantile(double quantile) implements Threshold {
        /** Checks the range. */
        public ExactQuantile {
            if (!(quantile >= 0 && quantile <= 1)) {
                throw new IllegalArgumentException("quantile is " + quantile + ", but must be in [0, 1]");
            }
        }
    }
}
