package dev.nibble.models;

import dev.nibble.spi.QuantizerProvider;

/** Finds quantizers by name. Bound to the plug-ins on the module path; an application may bind its own. */
@FunctionalInterface
public interface QuantizerLookup {
    /**
     * {@return the quantizer with this name}
     *
     * @throws IllegalArgumentException naming the known ones and the nearest
     */
    QuantizerProvider get(String name);
}
