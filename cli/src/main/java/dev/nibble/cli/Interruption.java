package dev.nibble.cli;

import java.io.PrintStream;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/** Ctrl-C, as something that a run can ask about between two steps. Thread-safe. */
final class Interruption {
    private static final long PATIENCE_SECONDS = 600; // a step of a large model in plain code on a slow machine

    private final CountDownLatch finished = new CountDownLatch(1);
    private volatile boolean requested;
    private volatile boolean worthSaving;

    /** Asks the command to stop. */
    void request() {
        requested = true;
    }

    /** {@return whether the command should stop} */
    boolean requested() {
        return requested;
    }

    /** Says that the command has, from now on, something to save before it ends. */
    void saveBeforeEnd() {
        worthSaving = true;
    }

    /** Says that the command has ended and all is written. */
    void finish() {
        finished.countDown();
    }

    /**
     * Makes Ctrl-C a request. The virtual machine halts, with status 130, when its shutdown hooks have ended, so the hook
     * waits until the command has saved what it has.
     */
    void hookShutdown(PrintStream err) {
        Runtime.getRuntime().addShutdownHook(new Thread(() -> requestAndWait(err), "nibble-interruption"));
    }

    private void requestAndWait(PrintStream err) {
        request();
        if (!worthSaving || finished.getCount() == 0) {
            return;
        }
        err.println();
        err.println("nibble: stopping after this step, and saving");
        try {
            if (!finished.await(PATIENCE_SECONDS, TimeUnit.SECONDS)) {
                err.println("nibble: the step did not end within " + PATIENCE_SECONDS + " s; it is abandoned");
            }
        } catch (InterruptedException _) {
            Thread.currentThread().interrupt();
        }
    }
}
