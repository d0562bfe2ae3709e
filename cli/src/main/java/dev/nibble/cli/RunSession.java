package dev.nibble.cli;

import dev.nibble.models.Evaluation;
import dev.nibble.models.RunConfig;
import dev.nibble.models.RunFolder;
import dev.nibble.models.RunInfo;
import dev.nibble.models.RunListener;
import dev.nibble.models.RunOrigin;
import dev.nibble.models.RunResult;
import dev.nibble.models.Runs;
import dev.nibble.models.StepRecord;
import java.nio.file.Path;
import java.util.List;

/** Trains into folders and shows progress. */
final class RunSession {
    private final Runs runs;
    private final Terminal terminal;
    private final CommonOptions common;
    private final RunOrigin origin;

    /**
     * Prepares.
     *
     * @param command the command line, for the record
     */
    RunSession(Runs runs, Terminal terminal, CommonOptions common, List<String> command) {
        this.runs = runs;
        this.terminal = terminal;
        this.common = common;
        this.origin = new RunOrigin("nibble", Nibble.Version.number(), command, Machine.facts());
    }

    /**
     * {@return the run, however it ended} Its files are written.
     *
     * @throws dev.nibble.error.NibbleException if they cannot be
     */
    FinishedRun run(RunConfig config, Path folder) {
        RunResult result;
        try (Progress progress = Progress.of(terminal, common.quiet)) {
            result = new RunFolder(folder, origin).train(runs, config, new Watched(progress, terminal.interruption()));
        }
        if (common.debug) {
            result.failure().ifPresent(thrown -> terminal.err().print(Failure.trace(thrown)));
        }
        return new FinishedRun(config, folder, result);
    }

    /** Tells the screen what the run tells, and the run what the user wants. */
    private record Watched(Progress progress, Interruption interruption) implements RunListener {
        @Override
        public void started(RunInfo info) {
            progress.started(info);
        }

        @Override
        public void step(StepRecord step) {
            progress.step(step);
        }

        @Override
        public void evaluated(Evaluation evaluation) {
            progress.evaluated(evaluation);
        }

        @Override
        public boolean stopRequested() {
            return interruption.requested();
        }
    }
}
