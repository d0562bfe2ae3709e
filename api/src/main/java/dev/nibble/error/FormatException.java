package dev.nibble.error;

/** A file is damaged, truncated, or of a kind that is not supported. */
public final class FormatException extends NibbleException {
    private static final long serialVersionUID = 1L;

    /**
     * Makes the exception.
     *
     * @param message what is wrong, what is needed, and what to do next
     */
    public FormatException(String message) {
        super(message);
    }
}
