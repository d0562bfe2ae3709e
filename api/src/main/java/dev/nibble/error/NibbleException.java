package dev.nibble.error;

/** A failure while running: of the environment, of data, or of a promise; never a caller's mistake. */
public class NibbleException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    /**
     * Makes the exception.
     *
     * @param message what is wrong, what is needed, and what to do next
     */
    public NibbleException(String message) {
        super(message);
    }

    /**
     * Makes the exception.
     *
     * @param message what is wrong, what is needed, and what to do next
     * @param cause the failure behind it
     */
    public NibbleException(String message, Throwable cause) {
        super(message, cause);
    }
}
