package dev.nibble.models;

/** Hears a text as it grows. */
public interface TextListener {
    /** Hears the next part of the text: whole characters, perhaps none. */
    void text(String part);

    /** {@return whether the text should end here} */
    default boolean stopRequested() {
        return false;
    }
}
