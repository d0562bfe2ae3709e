package dev.nibble.backend.cpu;

import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.IntConsumer;

/**
 * Runs the numbered tasks of an operation on a fixed set of threads, the caller's included. Which thread runs a task is
 * chance; a task must therefore write what no other task of the operation reads or writes.
 */
final class Workers implements AutoCloseable {
    /** Elements of a task that passes over a matrix: enough to outweigh handing it out, and they stay in the L2 cache. */
    static final int TASK_ELEMENTS = 1 << 15;

    private final int threads;
    private final ExecutorService executor;

    Workers(int threads) {
        this.threads = threads;
        this.executor = Executors.newFixedThreadPool(
                Math.max(1, threads - 1),
                Thread.ofPlatform().daemon().name("nibble-cpu-", 1).factory());
    }

    int threads() {
        return threads;
    }

    /** Runs {@code body.accept(0) .. body.accept(tasks - 1)} and returns when all have ended. */
    void forEach(int tasks, IntConsumer body) {
        int helpers = Math.min(threads, tasks) - 1;
        if (helpers <= 0) {
            for (int task = 0; task < tasks; task++) {
                body.accept(task);
            }
            return;
        }
        AtomicInteger next = new AtomicInteger();
        AtomicReference<Throwable> failure = new AtomicReference<>();
        CountDownLatch done = new CountDownLatch(helpers);
        Runnable drain = () -> {
            try {
                for (int task = next.getAndIncrement(); task < tasks; task = next.getAndIncrement()) {
                    body.accept(task);
                }
            } catch (RuntimeException | Error e) {
                failure.compareAndSet(null, e);
                next.set(tasks); // the others stop at their next task
            }
        };
        for (int i = 0; i < helpers; i++) {
            executor.execute(() -> {
                drain.run();
                done.countDown();
            });
        }
        drain.run();
        awaitQuietly(done);
        rethrow(failure.get());
    }

    /** A task with working memory of its own. */
    @FunctionalInterface
    interface SlotTask {
        /**
         * Runs.
         *
         * @param slot number of the working memory, which no other task has meanwhile
         * @param task number of the task
         */
        void run(int slot, int task);
    }

    /** Runs numbered tasks, each with one of {@code slots} working memories; there must be as many as run at once. */
    void forEachSlot(int slots, int tasks, SlotTask body) {
        ConcurrentLinkedQueue<Integer> free = new ConcurrentLinkedQueue<>();
        for (int slot = 0; slot < slots; slot++) {
            free.add(slot);
        }
        forEach(tasks, task -> {
            int slot = free.remove();
            try {
                body.run(slot, task);
            } finally {
                free.add(slot);
            }
        });
    }

    /** Part of the rows of a matrix. */
    @FunctionalInterface
    interface RowRun {
        void accept(int fromRow, int toRow);
    }

    /** Passes over runs of rows that together are all rows, about {@link #TASK_ELEMENTS} elements each. */
    void forEachRun(int rows, int cols, RowRun body) {
        int rowsOfTask = Math.max(1, TASK_ELEMENTS / Math.max(1, cols));
        forEach(Math.ceilDiv(rows, rowsOfTask), task -> {
            int from = task * rowsOfTask;
            body.accept(from, rows - from > rowsOfTask ? from + rowsOfTask : rows);
        });
    }

    private static void awaitQuietly(CountDownLatch done) {
        boolean interrupted = false;
        while (true) {
            try {
                done.await(); // never returns early: the tasks write to the caller's arrays
                break;
            } catch (InterruptedException _) {
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    private static void rethrow(Throwable failure) {
        switch (failure) {
            case null -> {}
            case RuntimeException e -> throw e;
            case Error e -> throw e;
            default -> throw new IllegalStateException(failure);
        }
    }

    @Override
    public void close() {
        executor.shutdown();
    }
}
