package dev.nibble.spi;

/**
 * What a run asks of a backend.
 *
 * @param seed seed of every random draw
 * @param threads host threads that compute; 0 for as many as there are processors. Never changes a number.
 * @param strict whether a product that does not run as asked for is an error
 */
public record BackendOptions(long seed, int threads, boolean strict) {
    /** Checks the thread count. */
    public BackendOptions {
        if (threads < 0) {
            throw new IllegalArgumentException("threads is " + threads + ", but must be 0 (all) or more");
        }
    }

    /** {@return these options with all processors, not strict} */
    public static BackendOptions withSeed(long seed) {
        return new BackendOptions(seed, 0, false);
    }
}
