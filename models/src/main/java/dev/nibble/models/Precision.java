package dev.nibble.models;

import dev.nibble.spi.LinearQuantizer;

/**
 * How a layer is computed.
 *
 * @param label name of the quantizer with the values of all its options
 * @param quantizer the quantizer for this layer
 */
record Precision(String label, LinearQuantizer quantizer) {}
