package dev.nibble.spi;

/**
 * A linear layer as a quantizer sees it.
 *
 * @param site its place in the model
 * @param in features of the input
 * @param out features of the output
 * @param nonNegativeInput whether the model guarantees an input without negative elements, as after a ReLU
 */
public record LinearLayer(Site site, long in, long out, boolean nonNegativeInput) {
    /** Makes a layer whose input may be negative. */
    public LinearLayer(Site site, long in, long out) {
        this(site, in, out, false);
    }

    /** Checks the sizes. */
    public LinearLayer {
        if (in < 1 || out < 1) {
            throw new IllegalArgumentException(
                    "layer " + site.name() + " is [" + out + ", " + in + "], but needs at least one feature each");
        }
    }
}
