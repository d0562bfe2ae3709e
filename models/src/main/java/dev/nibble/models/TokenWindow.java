package dev.nibble.models;

/**
 * Which of its last tokens a model sees of a text. The window begins with the text; when it is full, the older half leaves at once, and it
 * grows again. So most tokens follow a window that they only lengthen, and a cache of keys and values has to be made anew but once in half a
 * window. The window is a function of the text's length, with or without a cache.
 *
 * @param capacity tokens that the model sees at most
 */
record TokenWindow(int capacity) {
    /** {@return tokens that stay when the window is full} */
    private int kept() {
        return Math.max(1, capacity / 2);
    }

    /** {@return the first token that the model sees of a text with so many} */
    int start(int tokens) {
        if (tokens <= capacity) {
            return 0;
        }
        int stride = capacity + 1 - kept();
        return Math.ceilDiv(tokens - capacity, stride) * stride;
    }
}
