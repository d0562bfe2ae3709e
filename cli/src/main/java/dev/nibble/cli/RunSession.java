package dev.nibble.cli;

import dev.nibble.models.Evaluation;
import dev.nibble.models.LayerSample;
import dev.nibble.models.LayerTelemetry;
import dev.nibble.models.RunConfig;
import dev.nibble.models.RunFolder;
import dev.nibble.models.RunInfo;
import dev.nibble.models.RunListener;
import dev.nibble.models.RunOrigin;
import dev.nibble.models.RunResult;
import dev.nibble.models.Runs;
import dev.nibble.models.Start;
import dev.nibble.models.StepRecord;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;

/** Trains into folders and shows progress. */
final class RunSession {
    private final Runs runs;
    private final Terminal terminal;
    private final CommonOptions common;
    private final RunOrigin origin;
    private final int errorsEvery;

    /**
     * Prepares.
     *
     * @param command the command line, for the record
     * @param errorsEvery steps between measurements of quantization errors; 0 for none
     */
    RunSession(Runs runs, Terminal terminal, CommonOptions common, List<String> command, int errorsEvery) {
        this.runs = runs;
        this.terminal = terminal;
        this.common = common;
        this.errorsEvery = errorsEvery;
        this.origin = new RunOrigin("nibble", Nibble.Version.number(), command, Machine.facts());
    }

    /**
     * {@return the run, however it ended} Its files are written; there are no checkpoints.
     *
     * @throws dev.nibble.error.NibbleException if they cannot be
     */
    FinishedRun run(RunConfig config, Path folder) {
        return finish(
                config, folder, Start.NEW, listener -> new RunFolder(folder, origin).train(runs, config, listener));
    }

    /**
     * {@return the run, however it ended} Its files are written, and its checkpoints.
     *
     * @param start where it begins
     * @throws IllegalArgumentException if it cannot go on from the checkpoint that is there
     * @throws dev.nibble.error.NibbleException if they cannot be, or if no checkpoint can be used
     */
    FinishedRun run(RunConfig config, Path folder, Start start) {
        return finish(
                config, folder, start, listener -> new RunFolder(folder, origin).train(runs, config, listener, start));
    }

    private FinishedRun finish(RunConfig config, Path folder, Start start, Function<RunListener, RunResult> training) {
        RunResult result;
        Path file = folder.resolve(LayerError.FILE);
        List<LayerError> errors = new ArrayList<>(start == Start.NEW ? List.of() : LayerError.read(file));
        try (Progress progress = Progress.of(terminal, common.quiet)) {
            result = training.apply(new Watched(progress, terminal, errorsEvery, errors));
        }
        LayerError.write(file, errors);
        if (common.debug) {
            result.failure().ifPresent(thrown -> terminal.err().print(Failure.trace(thrown)));
        }
        return new FinishedRun(config, folder, result).with(errors);
    }

    /** Tells the screen what the run tells, and the run what the user wants. */
    private record Watched(Progress progress, Terminal terminal, int errorsEvery, List<LayerError> errors)
            implements RunListener {
        @Override
        public void notice(String message) {
            terminal.err().println("nibble: " + Failure.oneLine(message));
            terminal.err().flush();
        }

        @Override
        public void started(RunInfo info) {
            progress.started(info);
        }

        @Override
        public void step(StepRecord step) {
            progress.step(step);
        }

        @Override
        public boolean wantsSamples() {
            return errorsEvery > 0;
        }

        @Override
        public boolean wantsSample(int step) {
            return step % errorsEvery == 0;
        }

        @Override
        public void sampled(int step, List<LayerSample> layers) {
            errors.removeIf(
                    error -> error.step() >= step); // a run that goes on repeats what its last checkpoint did not have
            errors.addAll(LayerError.of(step, layers));
        }

        @Override
        public void wentBack(List<StepRecord> curve, List<Evaluation> evaluations, List<LayerTelemetry> telemetry) {
            errors.removeIf(error -> error.step() >= curve.size());
        }

        @Override
        public void evaluated(Evaluation evaluation) {
            progress.evaluated(evaluation);
        }

        @Override
        public boolean stopRequested() {
            return terminal.interruption().requested();
        }
    }
}
