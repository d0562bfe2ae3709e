package dev.nibble.spi;

/**
 * A method of low-bit training: how the three products of a linear layer are quantized. It only describes; backends
 * compute. Immutable and thread-safe.
 */
@FunctionalInterface
public interface Quantizer {
    /**
     * {@return how this layer is to be computed} Called once a layer.
     *
     * @param layer name and size of the layer
     */
    LinearQuantizer linear(LinearLayer layer);
}
