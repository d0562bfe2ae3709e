package dev.nibble.models;

import dev.nibble.models.checkpoint.Checkpoint;
import dev.nibble.models.checkpoint.CheckpointFile;
import dev.nibble.models.checkpoint.CheckpointStore;
import dev.nibble.models.files.AtomicFile;
import dev.nibble.models.files.JsonTree;
import java.nio.charset.StandardCharsets;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;

/** Writes the checkpoints of one run when they are due, and begins the run at one if it is to go on. */
final class Checkpointer {
    private static final double NANOS_PER_MINUTE = 60e9;
    private static final int ROLLBACK_MARGIN = 10;

    private final CheckpointStore store;
    private final CheckpointSettings settings;
    private final RunOrigin origin;
    private final ResolvedConfiguration configuration;
    private final String dataHash;
    private final Map<String, Object> model; // what its parameters do not tell
    private final Optional<Resumption> resumption;
    private final int rollbackEvery; // 0 for no rollbacks
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
        this.model = run.task().facts();
        this.resumption = resumption;
        GuardSettings guard = run.resolution().guard();
        this.rollbackEvery = guard.does(GuardAction.ROLLBACK, run.config().nonFinite()) ? guard.rollbackEvery() : 0;
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
            state.restore(from.checkpoint(), from.state());
            store.setAsideAfter(from.checkpoint());
            note(from.state().step());
            return from.state().step();
        }
        store.setAside()
                .ifPresent(
                        old -> listener.notice("the checkpoints of an earlier run in this folder are now in " + old));
        Checkpoint first = save(0, 0, state, RunHistory.EMPTY);
        first.verify();
        state.requireEqual(first);
        return 0;
    }

    /** {@return whether a checkpoint should be written after a step} */
    boolean due(int stepsDone, boolean last, Optional<Evaluation> best) {
        boolean steps = settings.everySteps() > 0 && stepsDone % settings.everySteps() == 0;
        boolean minutes = settings.everyMinutes() > 0
                && System.nanoTime() - lastNanos >= settings.everyMinutes() * NANOS_PER_MINUTE;
        boolean rollback = rollbackEvery > 0 && stepsDone % rollbackEvery == 0;
        return last || steps || minutes || rollback || bestStep(best).equals(OptionalInt.of(stepsDone));
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
     * @param dataStep place in the data
     * @param history what the run has reported
     * @throws dev.nibble.error.NibbleException if it cannot be written, naming the last good one
     */
    Checkpoint save(int stepsDone, int dataStep, TrainingState state, RunHistory history) {
        CheckpointState now = new CheckpointState(
                stepsDone, dataStep, configuration, dataHash, state.quantizerLabels(), state.trainedSteps());
        int skipped = (int) history.curve().stream().filter(StepRecord::skipped).count();
        Map<CheckpointFile, AtomicFile.Content> contents = new EnumMap<>(CheckpointFile.class);
        contents.put(CheckpointFile.MODEL, state.model().content());
        contents.put(CheckpointFile.OPTIMIZER, state.moments().content());
        state.averaged().ifPresent(averages -> contents.put(CheckpointFile.AVERAGES, averages.content()));
        contents.put(CheckpointFile.QUANTIZER, state.quantizers(Set.of()).content());
        Map<String, Object> facts = now.json(origin, state.backend().description(), skipped);
        if (!model.isEmpty()) {
            facts.put("model", model);
        }
        contents.put(CheckpointFile.STATE, text(JsonTree.text(facts)));
        contents.put(CheckpointFile.HISTORY, text(JsonTree.compact(history.json())));
        Checkpoint written = store.write(stepsDone, contents);
        note(stepsDone);
        store.prune(settings.keep(), bestStep(RunHistory.best(history.evaluations())), rollbackSteps());
        return written;
    }

    /** {@return the steps of the two newest checkpoints to which a run goes back} */
    private Set<Integer> rollbackSteps() {
        List<Integer> steps = store.all().stream()
                .map(Checkpoint::step)
                .filter(this::isRollback)
                .toList();
        return Set.copyOf(steps.subList(Math.max(0, steps.size() - 2), steps.size()));
    }

    private boolean isRollback(int step) {
        return rollbackEvery > 0 && step % rollbackEvery == 0;
    }

    /**
     * Brings the state back to the newest checkpoint for rollbacks that at least {@link #ROLLBACK_MARGIN} steps have followed, since what
     * shows now began before; the oldest one that there is, if that is none. Newer ones are deleted.
     *
     * @param step what went wrong
     * @return what the run had reported then
     * @throws dev.nibble.error.NibbleException if the checkpoint is damaged
     */
    RunHistory goBack(int step, TrainingState state) {
        List<Checkpoint> all = store.all();
        List<Checkpoint> regular =
                all.stream().filter(c -> isRollback(c.step())).toList();
        List<Checkpoint> candidates = regular.isEmpty() ? all : regular;
        Checkpoint back = candidates.getFirst();
        for (Checkpoint candidate : candidates) {
            if (step - candidate.step() >= Math.min(ROLLBACK_MARGIN, rollbackEvery)) {
                back = candidate;
            }
        }
        back.verify();
        CheckpointState then = CheckpointState.read(back);
        RunHistory history = RunHistory.of(back.json(CheckpointFile.HISTORY), then.step());
        state.restore(back, then);
        store.removeAfter(back);
        note(then.step());
        return history;
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
