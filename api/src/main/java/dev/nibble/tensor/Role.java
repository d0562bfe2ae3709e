package dev.nibble.tensor;

/** What a tensor is to a linear layer; part of the address of every random draw. */
public enum Role {
    /** X, [tokens, in]. */
    INPUT(0, "input"),
    /** W, [out, in]. */
    WEIGHT(1, "weight"),
    /** dY, [tokens, out]. */
    GRAD_OUTPUT(2, "gradOutput"),
    /** Anything else: initial weights, data order. */
    OTHER(3, "other");

    private final int code;
    private final String label;

    Role(int code, String label) {
        this.code = code;
        this.label = label;
    }

    /** {@return the number in the random counter; never changes} */
    public int code() {
        return code;
    }

    /** {@return the name used on the command line and in messages} */
    public String label() {
        return label;
    }
}
