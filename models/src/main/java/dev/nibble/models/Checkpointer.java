package dev.nibble.models;

import dev.nibble.models.checkpoint.Checkpoint;
import dev.nibble.models.checkpoint.CheckpointFile;
import dev.nibble.models.checkpoint.CheckpointStore;
import dev.nibble.models.files.AtomicFile;
import dev.nibble.models.files.JsonTree;
import java.nio.charset.StandardCharsets;
import java.util.EnumMap;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;

/** Writes the checkpoints of one run when they are due, and begins the run at one if it is to go on. */
final class Checkpointer {
    private static final double NANOS_PER_MINUTE = 60e9;

    private final CheckpointStore store;
    private final CheckpointSettings settings;
    private final RunOrigin origin;
    private final ResolvedConfiguration configuration;
    private final String dataHash;
    private final Optional<Resumption> resumption;
    private final RunListener listener;
    private int lastStep = -1;
    private long lastNanos;

    /**
     * Prepares; nothing is written yet.
     *
     * @param resumption from where the run goes on, if it does
     */
    Checkpointer(
            CheckpointStore store,
            RunOrigin origin,
            PreparedRun run,
            Optional<Resumption> resumption,
            RunListener listener) {
        this.store = store;
        this.settings = CheckpointSettings.of(run.resolution().values());
        this.origin = origin;
        this.configuration = run.configuration();
        this.dataHash = run.dataHash();
        this.resumption = resumption;
        this.listener = listener;
    }

    /** {@return what the run has reported before} */
    RunHistory history() {
        return resumption.map(Resumption::history).orElse(RunHistory.EMPTY);
    }

    /**
     * Brings the state to where the run goes on; or writes the first checkpoint of a new run and reads it back, so that a
     * folder that cannot hold one is found before the work.
     *
     * @return optimizer steps done
     * @throws dev.nibble.error.NibbleException if a checkpoint does not fit the model, or cannot be written
     */
    int begin(TrainingState state) {
        if (resumption.isPresent()) {
            Resumption from = resumption.orElseThrow();
            state.restore(from.checkpoint(), from.state().trainedSteps(), from.replaced());
            store.setAsideAfter(from.checkpoint());
            note(from.state().step());
            return from.state().step();
        }
        store.setAside()
                .ifPresent(
                        old -> listener.notice("the checkpoints of an earlier run in this folder are now in " + old));
        Checkpoint first = save(0, state, RunHistory.EMPTY);
        first.verify();
        state.requireEqual(first);
        return 0;
    }

    /** {@return whether a checkpoint should be written after a step} */
    boolean due(int stepsDone, boolean last, Optional<Evaluation> best) {
        boolean steps = settings.everySteps() > 0 && stepsDone % settings.everySteps() == 0;
        boolean minutes = settings.everyMinutes() > 0
                && System.nanoTime() - lastNanos >= settings.everyMinutes() * NANOS_PER_MINUTE;
        return last || steps || minutes || bestStep(best).equals(OptionalInt.of(stepsDone));
    }

    private OptionalInt bestStep(Optional<Evaluation> best) {
        return best.isPresent() && settings.best()
                ? OptionalInt.of(best.orElseThrow().step())
                : OptionalInt.empty();
    }

    /**
     * Writes a checkpoint, and deletes those that are not to be kept.
     *
     * @param stepsDone optimizer steps done
     * @param history what the run has reported
     * @throws dev.nibble.error.NibbleException if it cannot be written, naming the last good one
     */
    Checkpoint save(int stepsDone, TrainingState state, RunHistory history) {
        CheckpointState now = new CheckpointState(stepsDone, configuration, dataHash, state.trainedSteps());
        int skipped = (int) history.curve().stream().filter(StepRecord::skipped).count();
        Map<CheckpointFile, AtomicFile.Content> contents = new EnumMap<>(CheckpointFile.class);
        contents.put(CheckpointFile.MODEL, state.model().content());
        contents.put(CheckpointFile.OPTIMIZER, state.moments().content());
        contents.put(CheckpointFile.QUANTIZER, state.quantizers(Set.of()).content());
        contents.put(
                CheckpointFile.STATE,
                text(JsonTree.text(now.json(origin, state.backend().description(), skipped))));
        contents.put(CheckpointFile.HISTORY, text(JsonTree.compact(history.json())));
        Checkpoint written = store.write(stepsDone, contents);
        note(stepsDone);
        store.prune(settings.keep(), bestStep(RunHistory.best(history.evaluations())));
        return written;
    }

    private static AtomicFile.Content text(String text) {
        return stream -> stream.write(text.getBytes(StandardCharsets.UTF_8));
    }

    private void note(int stepsDone) {
        lastStep = stepsDone;
        lastNanos = System.nanoTime();
    }

    /** {@return whether the last checkpoint is of this step} */
    boolean hasSaved(int stepsDone) {
        return lastStep == stepsDone;
    }
}
