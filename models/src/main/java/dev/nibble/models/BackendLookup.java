package dev.nibble.models;

import dev.nibble.spi.BackendProvider;

/** Finds backends by name. Bound to the plug-ins on the module path; an application may bind its own. */
@FunctionalInterface
public interface BackendLookup {
    /**
     * {@return the backend with this name; for {@code auto}, the one with the highest preference that is available}
     *
     * @throws IllegalArgumentException naming the known ones and the nearest
     * @throws dev.nibble.error.NotAvailableException if it is not available here
     */
    BackendProvider get(String name);
}
