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

    /**
     * As {@link Delayed}, but at most a share of the blocks falls back: the threshold in force is the larger of the state's
     * and the nearest-rank quantile {@code 1 - largestRate} of this tensor. Needs a second pass.
     *
     * @param state name of the layer's state vector; element 0 counts
     * @param largestRate in (0, 1]
     */
    record Capped(String state, double largestRate) implements Threshold {
        /** Checks the range. */
        public Capped {
            if (!(largestRate > 0 && largestRate <= 1)) {
                throw new IllegalArgumentException("largestRate is " + largestRate + ", but must be in (0, 1]");
            }
        }
    }
}
