package dev.nibble.models.layers;

/**
 * Outliers that are put into the inputs of linear layers: see {@link OutlierLinear}.
 *
 * @param rate share of the elements that get one, in [0, 1]; 0 for none
 * @param size magnitude of each, finite and above 0
 */
public record OutlierSpec(double rate, double size) {
    /** No outliers. */
    public static final OutlierSpec NONE = new OutlierSpec(0, 1);

    /** Checks the ranges. */
    public OutlierSpec {
        if (!(rate >= 0 && rate <= 1)) {
            throw new IllegalArgumentException("outlierRate is " + rate + ", but must be in [0, 1]");
        }
        if (!(size > 0 && Float.isFinite((float) size))) {
            throw new IllegalArgumentException("outlierSize is " + size + ", but must be a finite number above 0");
        }
    }

    /** {@return whether there are any} */
    boolean present() {
        return rate > 0;
    }
}
