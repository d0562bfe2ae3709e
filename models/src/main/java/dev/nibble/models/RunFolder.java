package dev.nibble.models;

import dev.nibble.error.NibbleException;
import dev.nibble.models.files.AtomicFile;
import dev.nibble.models.files.IoReason;
import dev.nibble.models.train.TaskKind;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * A run that leaves files: {@code metrics.csv}, a line a step, readable while it goes on; {@code run.json}, the whole
 * record, replaced in one move when it ends.
 *
 * @param path where the files go; made if it does not exist. {@link dev.nibble.models.files.ResultFolder} tells whether it
 *     is somebody else's
 * @param origin who trains
 */
public record RunFolder(Path path, RunOrigin origin) {
    /** Name of the record; a folder that has one is the folder of a run. */
    public static final String RECORD = "run.json";

    private static final String METRICS = "metrics.csv";

    /**
     * Trains as {@link Runs#train} does, but a failure of any kind is a result too: it is in the record, and in a
     * comparison the other runs go on. {@link Runs#check} tells of a wrong configuration before.
     *
     * @return what the run gave; {@link RunResult#failure} is why it failed
     * @throws IllegalArgumentException if no preset has the name in the configuration
     * @throws NibbleException if the files cannot be written
     */
    public RunResult train(Runs runs, RunConfig config, RunListener listener) {
        TaskKind kind = runs.preset(config.preset()).kind();
        try {
            Files.createDirectories(path);
        } catch (IOException e) {
            throw new NibbleException(path + " cannot be made: " + IoReason.of(e), e);
        }
        Path record = path.resolve(RECORD);
        AtomicFile.write(record, RunJson.started(origin, config));
        RunResult result;
        try (MetricsFile metrics = new MetricsFile(path.resolve(METRICS), kind)) {
            result = result(kind, runs, config, new Both(metrics, listener));
        }
        AtomicFile.write(record, RunJson.ended(origin, config, path, result));
        return result;
    }

    private static RunResult result(TaskKind kind, Runs runs, RunConfig config, RunListener listener) {
        try {
            return runs.train(config, listener);
        } catch (RuntimeException | OutOfMemoryError | LinkageError e) {
            return RunResult.failed(kind, config, e);
        }
    }

    /** Tells the file and the listener what the run tells, and the run what the listener wants. */
    private record Both(MetricsFile metrics, RunListener listener) implements RunListener {
        @Override
        public void started(RunInfo info) {
            listener.started(info);
        }

        @Override
        public void step(StepRecord step) {
            metrics.step(step);
            listener.step(step);
        }

        @Override
        public void evaluated(Evaluation evaluation) {
            metrics.evaluated(evaluation);
            listener.evaluated(evaluation);
        }

        @Override
        public boolean stopRequested() {
            return listener.stopRequested();
        }
    }
}
