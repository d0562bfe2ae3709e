package dev.nibble.spi;

/** Opens a backend. Found by {@link java.util.ServiceLoader}; its constructor touches no device. */
public interface BackendProvider extends Named {
    /** {@return whether {@link #open} would work here, and why} Never throws; links no class that may be missing. */
    Availability availability();

    /** {@return how much {@code --backend auto} prefers it; the highest available wins} */
    int preference();

    /**
     * Opens the backend.
     *
     * @param options what the run asks for
     * @return a new backend, owned by the caller
     * @throws dev.nibble.error.NotAvailableException if it is not available
     */
    Backend open(BackendOptions options);
}
