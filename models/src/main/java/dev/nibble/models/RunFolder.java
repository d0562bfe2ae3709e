package dev.nibble.models;

import dev.nibble.error.NibbleException;
import dev.nibble.models.checkpoint.CheckpointStore;
import dev.nibble.models.files.AtomicFile;
import dev.nibble.models.files.FolderLock;
import dev.nibble.models.files.IoReason;
import dev.nibble.models.train.TaskKind;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.function.Function;

/**
 * A run that leaves files: {@code metrics.csv}, a line a step, readable while it goes on; {@code run.json}, the whole
 * record, replaced in one move when it ends; {@code recipe.yaml}, by which it can be repeated;
 * and {@code tensorboard/}, if the setting {@code train.tensorboard} asks for it.
 *
 * @param path where the files go; made if it does not exist. {@link dev.nibble.models.files.ResultFolder} tells whether it
 *     is somebody else's
 * @param origin who trains
 */
public record RunFolder(Path path, RunOrigin origin) {
    /** Name of the record; a folder that has one is the folder of a run. */
    public static final String RECORD = "run.json";

    /** Name of the recipe with every value filled in, by which the run can be repeated. */
    public static final String RECIPE = "recipe.yaml";

    private static final String METRICS = "metrics.csv";

    /**
     * Trains as {@link Runs#train} does, but a failure of any kind is a result too: it is in the record, and in a
     * comparison the other runs go on. {@link Runs#check} tells of a wrong configuration before.
     *
     * @return what the run gave; {@link RunResult#failure} is why it failed
     * @throws IllegalArgumentException if no preset has the name in the configuration
     * @throws NibbleException if the files cannot be written, or another process trains into the folder
     */
    public RunResult train(Runs runs, RunConfig config, RunListener listener) {
        runs.preset(config.preset());
        try (FolderLock _ = lock()) {
            return train(runs, config, listener, RunHistory.EMPTY, heard -> runs.train(config, heard));
        }
    }

    /**
     * Trains as {@link #train(Runs, RunConfig, RunListener)} does, and writes checkpoints into the folder {@link
     * CheckpointStore#FOLDER}: see docs/checkpoints.md. A run that goes on has the metrics, the evaluations and the record of
     * the whole run.
     *
     * @param start where the run begins; the listener is told
     * @return what the run gave
     * @throws IllegalArgumentException if no preset has the name in the configuration; or if a checkpoint that is to be
     *     continued is one of another configuration or of other data, naming every difference: nothing is written then
     * @throws NibbleException if the files cannot be written, or another process trains into the folder; or if there are checkpoints to continue, and none can be used
     */
    public RunResult train(Runs runs, RunConfig config, RunListener listener, Start start) {
        runs.preset(config.preset());
        try (FolderLock _ = lock()) {
            return trainWithCheckpoints(runs, config, listener, start);
        }
    }

    private FolderLock lock() {
        try {
            Files.createDirectories(path);
        } catch (IOException e) {
            throw new NibbleException(path + " cannot be made: " + IoReason.of(e), e);
        }
        return FolderLock.take(path);
    }

    private RunResult trainWithCheckpoints(Runs runs, RunConfig config, RunListener listener, Start start) {
        CheckpointStore store = new CheckpointStore(path.resolve(CheckpointStore.FOLDER));
        store.clear();
        if (start == Start.NEW || store.all().isEmpty()) {
            if (start != Start.NEW) {
                listener.notice("there is no checkpoint in " + store.path() + ": the run starts at its first step");
            }
            return train(runs, config, listener, RunHistory.EMPTY, heard -> {
                PreparedRun run = runs.prepare(config);
                return run.train(heard, Optional.of(new Checkpointer(store, origin, run, Optional.empty(), heard)));
            });
        }
        PreparedRun run = runs.prepare(config);
        Resumption from = Resumption.find(store, run, start == Start.RESUME_UNDER_ANOTHER_QUANTIZER)
                .orElseThrow();
        from.notices().forEach(listener::notice);
        return train(
                runs,
                config,
                listener,
                from.history(),
                heard -> run.train(heard, Optional.of(new Checkpointer(store, origin, run, Optional.of(from), heard))));
    }

    private RunResult train(
            Runs runs,
            RunConfig config,
            RunListener listener,
            RunHistory before,
            Function<RunListener, RunResult> training) {
        TaskKind kind = runs.preset(config.preset()).kind();
        Path record = path.resolve(RECORD);
        AtomicFile.write(record, RunJson.started(origin, config));
        RunResult result;
        try (MetricsFile metrics = new MetricsFile(
                path.resolve(METRICS), kind, TrainingSettings.keepsAverages(config.settings()), before)) {
            result = watched(kind, config, new Both(metrics, listener), before, heard -> {
                AtomicFile.write(path.resolve(RECIPE), runs.resolvedRecipe(config));
                return training.apply(heard);
            });
        }
        try {
            AtomicFile.write(record, RunJson.ended(origin, config, path, result));
        } catch (NibbleException e) {
            throw result.failure().isEmpty() ? e : new NibbleException(result.message() + "; " + e.getMessage(), e);
        }
        return result;
    }

    private RunResult watched(
            TaskKind kind,
            RunConfig config,
            RunListener listener,
            RunHistory before,
            Function<RunListener, RunResult> training) {
        if (!TensorBoardFile.isWanted(config)) {
            return result(kind, config, listener, training);
        }
        try (TensorBoardFile events = new TensorBoardFile(path, kind, before)) {
            return result(kind, config, new Both(events, listener), training);
        }
    }

    private static RunResult result(
            TaskKind kind, RunConfig config, RunListener listener, Function<RunListener, RunResult> training) {
        try {
            return training.apply(listener);
        } catch (RuntimeException | OutOfMemoryError | LinkageError e) {
            return RunResult.failed(kind, config, e);
        }
    }

    /** Tells a file and a listener what the run tells, and the run what the listener wants. */
    record Both(RunListener file, RunListener listener) implements RunListener {
        @Override
        public void started(RunInfo info) {
            file.started(info);
            listener.started(info);
        }

        @Override
        public void notice(String message) {
            file.notice(message);
            listener.notice(message);
        }

        @Override
        public void step(StepRecord step) {
            file.step(step);
            listener.step(step);
        }

        @Override
        public void telemetry(LayerTelemetry row) {
            file.telemetry(row);
            listener.telemetry(row);
        }

        @Override
        public boolean wantsSamples() {
            return listener.wantsSamples();
        }

        @Override
        public boolean wantsSample(int step) {
            return listener.wantsSample(step);
        }

        @Override
        public void sampled(int step, List<LayerSample> layers) {
            listener.sampled(step, layers);
        }

        @Override
        public void evaluated(Evaluation evaluation) {
            file.evaluated(evaluation);
            listener.evaluated(evaluation);
        }

        @Override
        public void event(RunEvent event) {
            file.event(event);
            listener.event(event);
        }

        @Override
        public void wentBack(List<StepRecord> curve, List<Evaluation> evaluations, List<LayerTelemetry> telemetry) {
            file.wentBack(curve, evaluations, telemetry);
            listener.wentBack(curve, evaluations, telemetry);
        }

        @Override
        public boolean stopRequested() {
            return listener.stopRequested();
        }
    }
}
