package dev.nibble.cli;

import dev.nibble.models.RunConfig;
import dev.nibble.models.RunListener;
import dev.nibble.models.RunResult;
import dev.nibble.models.Runs;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Queue;
import java.util.concurrent.Callable;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.function.BooleanSupplier;

/**
 * Does the runs of a ladder that are missing, several at once if asked to: each has a backend of its own, so that none changes
 * another's numbers.
 */
final class LadderRunner {
    private final Runs runs;
    private final LadderStore store;
    private final Terminal terminal;
    private final boolean quiet;
    private final BooleanSupplier stop;
    private final List<String> failures = new ArrayList<>(); // guarded by itself
    private int done; // guarded by failures

    /**
     * A run that is to be done.
     *
     * @param task what it learns
     * @param row how
     * @param config all of it
     * @param key what must be the same for the run to count
     */
    record Planned(Ladder.Task task, Ladder.Row row, RunConfig config, String key) {
        @Override
        public String toString() {
            return task.name() + ", " + row.label() + ", seed " + config.seed();
        }
    }

    /**
     * Prepares.
     *
     * @param stop asked before and in each step of each run: whether to begin nothing more, and to leave off
     */
    LadderRunner(Runs runs, LadderStore store, Terminal terminal, boolean quiet, BooleanSupplier stop) {
        this.runs = runs;
        this.store = store;
        this.terminal = terminal;
        this.quiet = quiet;
        this.stop = stop;
    }

    /**
     * {@return how the runs that failed did so} Those that were left off are as if they had not begun.
     *
     * @param planned the runs, in the order in which they begin
     * @param jobs how many run at once
     */
    List<String> run(List<Planned> planned, int jobs) {
        Queue<Planned> queue = new ConcurrentLinkedQueue<>(planned);
        List<Future<?>> workers = new ArrayList<>();
        try (ExecutorService pool = Executors.newFixedThreadPool(jobs)) {
            for (int i = 0; i < jobs; i++) {
                Callable<Void> worker = () -> {
                    work(queue, planned.size());
                    return null;
                };
                workers.add(pool.submit(worker));
            }
        }
        for (Future<?> worker : workers) {
            rethrow(worker);
        }
        return List.copyOf(failures);
    }

    private static void rethrow(Future<?> worker) {
        try {
            worker.get();
        } catch (ExecutionException e) {
            if (e.getCause() instanceof RuntimeException unchecked) {
                throw unchecked;
            }
            throw new IllegalStateException("a run ended in a way that runs do not", e.getCause());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("the wait for runs that have ended was interrupted", e);
        }
    }

    private void work(Queue<Planned> queue, int all) {
        Optional<Planned> next = Optional.ofNullable(queue.poll());
        while (next.isPresent() && !stop.getAsBoolean()) {
            try {
                one(next.orElseThrow(), all);
            } catch (RuntimeException e) {
                queue.clear(); // what hinders one run before its first step hinders all
                throw e;
            }
            next = Optional.ofNullable(queue.poll());
        }
    }

    private void one(Planned planned, int all) {
        RunResult result = runs.train(planned.config(), new RunListener() {
            @Override
            public boolean stopRequested() {
                return stop.getAsBoolean();
            }
        });
        if (result.status() == RunResult.Status.INTERRUPTED) {
            return;
        }
        if (result.status() == RunResult.Status.FAILED) {
            String why = result.failure()
                    .map(thrown -> Failure.ofRun(thrown).message())
                    .orElse(result.message());
            say(planned + " failed: " + why, true, all);
            return;
        }
        LadderRun run = LadderRun.of(
                planned.key(), planned.task(), planned.row(), planned.config().seed(), result);
        store.keep(planned.task(), planned.row(), run);
        String how = run.completed() ? "loss " + Figures.fixed(run.loss(), 4) : Failure.oneLine(result.message());
        say("%s: %s, %s s".formatted(planned, how, Figures.fixed(run.seconds(), 1)), false, all);
    }

    private void say(String line, boolean failed, int all) {
        synchronized (failures) {
            done++;
            if (failed) {
                failures.add(line);
            }
            if (!quiet || failed) {
                terminal.err().println(String.format(Locale.ROOT, "%d of %d: %s", done, all, line));
                terminal.err().flush();
            }
        }
    }
}
