package dev.nibble.error;

/** A product did not run as asked for, and the run is strict. */
public final class StrictException extends NibbleException {
    private static final long serialVersionUID = 1L;

    /**
     * Makes the exception.
     *
     * @param message what is wrong, what is needed, and what to do next
     */
    public StrictException(String message) {
        super(message);
    }
}
