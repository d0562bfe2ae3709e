package dev.nibble.cli;

import dev.nibble.error.NibbleException;
import dev.nibble.models.RunConfig;
import dev.nibble.models.RunInfo;
import dev.nibble.models.RunListener;
import dev.nibble.models.RunResult;
import dev.nibble.models.Runs;
import dev.nibble.models.StepRecord;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** Trains, shows progress, and writes run.json and metrics.csv. */
final class RunSession {
    static final String RECORD = "run.json";
    static final String METRICS = "metrics.csv";

    private final Runs runs;
    private final Terminal terminal;
    private final CommonOptions common;
    private final List<String> command;

    /**
     * Prepares.
     *
     * @param command the command line, for the record
     */
    RunSession(Runs runs, Terminal terminal, CommonOptions common, List<String> command) {
        this.runs = runs;
        this.terminal = terminal;
        this.common = common;
        this.command = command;
    }

    /**
     * {@return the run, however it ended} Its files are written.
     *
     * @throws NibbleException if they cannot be
     */
    FinishedRun run(RunConfig config, Path folder) {
        try {
            Files.createDirectories(folder);
        } catch (IOException e) {
            throw new NibbleException(
                    folder + " cannot be made: " + Failure.of(e).message(), e);
        }
        Path record = folder.resolve(RECORD);
        AtomicFile.write(record, Json.text(FinishedRun.header(config, command)) + "\n");
        FinishedRun finished;
        try (MetricsFile metrics = new MetricsFile(folder.resolve(METRICS));
                Progress progress = Progress.of(terminal, common.quiet)) {
            finished = train(config, folder, new Listeners(metrics, progress, terminal.interruption()));
        }
        AtomicFile.write(record, Json.text(finished.record(command)) + "\n");
        return finished;
    }

    /** A failure of any kind is a result: in a comparison, the other runs go on. */
    private FinishedRun train(RunConfig config, Path folder, Listeners listeners) {
        try {
            RunResult result = runs.train(config, listeners);
            return new FinishedRun(config, folder, listeners.device, result);
        } catch (RuntimeException | OutOfMemoryError | LinkageError e) {
            if (common.debug) {
                terminal.err().print(Failure.trace(e));
            }
            return new FinishedRun(
                    config,
                    folder,
                    listeners.device,
                    failed(config, Failure.of(e).message()));
        }
    }

    private static RunResult failed(RunConfig config, String message) {
        return new RunResult(
                config.quantizer().label(),
                config.backend(),
                RunResult.Status.FAILED,
                message,
                0,
                0,
                Double.NaN,
                Double.NaN,
                Double.NaN,
                Double.NaN,
                0,
                0,
                List.of(),
                List.of(),
                List.of(),
                List.of(),
                "");
    }

    /** Tells the file and the screen what the run tells, and the run what the user wants. */
    private static final class Listeners implements RunListener {
        private final MetricsFile metrics;
        private final Progress progress;
        private final Interruption interruption;
        private String device = "";

        Listeners(MetricsFile metrics, Progress progress, Interruption interruption) {
            this.metrics = metrics;
            this.progress = progress;
            this.interruption = interruption;
        }

        @Override
        public void started(RunInfo info) {
            device = info.backendDescription();
            progress.started(info);
        }

        @Override
        public void step(StepRecord step) {
            metrics.step(step);
            progress.step(step);
        }

        @Override
        public void evaluated(int step, double validationLoss) {
            metrics.evaluated(step, validationLoss);
            progress.evaluated(step, validationLoss);
        }

        @Override
        public boolean stopRequested() {
            return interruption.requested();
        }
    }
}
