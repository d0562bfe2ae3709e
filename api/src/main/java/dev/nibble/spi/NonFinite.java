package dev.nibble.spi;

import dev.nibble.tensor.Role;

/**
 * An operand that held NaN or infinity.
 *
 * @param site the layer
 * @param role what the tensor is to it
 */
public record NonFinite(Site site, Role role) {}
