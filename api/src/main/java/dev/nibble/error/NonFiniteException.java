package dev.nibble.error;

/** A tensor holds NaN or infinity where training cannot go on. */
public final class NonFiniteException extends NibbleException {
    private static final long serialVersionUID = 1L;

    /**
     * Makes the exception.
     *
     * @param message what is wrong, what is needed, and what to do next
     */
    public NonFiniteException(String message) {
        super(message);
    }
}
