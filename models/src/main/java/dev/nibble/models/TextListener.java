package dev.nibble.models;

/** Hears texts as they grow. */
public interface TextListener {
    /**
     * Hears the next part of a text: whole characters, perhaps none.
     *
     * @param sample number of the text, from 0
     */
    void text(int sample, String part);

    /** {@return whether the texts should end here} */
    default boolean stopRequested() {
        return false;
    }
}
