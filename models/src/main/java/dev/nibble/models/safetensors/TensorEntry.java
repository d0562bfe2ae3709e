package dev.nibble.models.safetensors;

import dev.nibble.tensor.Shape;

/**
 * Where a tensor is in a file.
 *
 * @param name unique in the file
 * @param type element type
 * @param shape extents; row-major
 * @param begin its first byte, counted from the end of the header
 * @param end the byte after its last one
 */
public record TensorEntry(String name, ElementType type, Shape shape, long begin, long end) {}
