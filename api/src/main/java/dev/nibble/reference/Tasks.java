package dev.nibble.reference;

import java.util.function.IntConsumer;

/**
 * Runs the numbered tasks of an operation. No task reads or writes what another one writes, so any order, or all at
 * once, gives the same bits.
 */
@FunctionalInterface
public interface Tasks {
    /** Rows of a task, and of a partial sum that crosses rows. */
    int CHUNK_ROWS = 64;

    /** One task after the other. */
    Tasks IN_ORDER = (count, body) -> {
        for (int task = 0; task < count; task++) {
            body.accept(task);
        }
    };

    /** Work on some of the rows. */
    @FunctionalInterface
    interface Rows {
        /** Works on rows {@code from} to {@code to - 1}. */
        void accept(int from, int to);
    }

    /** Runs {@code body.accept(0) .. body.accept(count - 1)} and returns when all have ended. */
    void forEach(int count, IntConsumer body);

    /** Cuts rows into chunks of {@code chunk}, the last one smaller, and runs {@code body} once for each. */
    default void forEachChunk(int rows, int chunk, Rows body) {
        forEach(Math.ceilDiv(rows, chunk), task -> {
            int from = task * chunk; // below rows
            body.accept(from, Math.min(rows - from, chunk) + from);
        });
    }

    /** Cuts rows into chunks of {@link #CHUNK_ROWS}. */
    default void forEachChunk(int rows, Rows body) {
        forEachChunk(rows, CHUNK_ROWS, body);
    }
}
