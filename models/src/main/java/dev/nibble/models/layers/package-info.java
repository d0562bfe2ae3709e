/** Layers of transformers over {@code dev.nibble.spi}. They enqueue work on a backend and read nothing back. */
package dev.nibble.models.layers;
