package dev.nibble.error;

/** A backend or a part of the machine that was asked for by name is not there. */
public final class NotAvailableException extends NibbleException {
    private static final long serialVersionUID = 1L;

    /**
     * Makes the exception.
     *
     * @param message what is wrong, what is needed, and what to do next
     */
    public NotAvailableException(String message) {
        super(message);
    }
}
