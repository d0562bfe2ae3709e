package dev.nibble.spi;

/**
 * A place in the model: who asks for an operation.
 *
 * @param name name of the layer, as in {@code blocks.0.mlp.down}
 * @param ordinal number of the layer in the model, part of the address of its random draws
 */
public record Site(String name, int ordinal) {}
