package dev.nibble.backend.cuda;

import dev.nibble.error.NibbleException;

/** The device or its driver refused a call. */
final class CudaException extends NibbleException {
    private static final long serialVersionUID = 1L;
    private final int code;

    CudaException(int code, String message) {
        super(message);
        this.code = code;
    }

    /** {@return the driver's result code} */
    int code() {
        return code;
    }
}
