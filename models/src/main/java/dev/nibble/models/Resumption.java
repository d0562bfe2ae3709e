package dev.nibble.models;

import dev.nibble.error.FormatException;
import dev.nibble.models.checkpoint.Checkpoint;
import dev.nibble.models.checkpoint.CheckpointFile;
import dev.nibble.models.checkpoint.CheckpointStore;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * A checkpoint from which a run goes on.
 *
 * @param checkpoint where it is
 * @param state where the run stands
 * @param history what the run has reported
 * @param notices what the user should know
 */
record Resumption(Checkpoint checkpoint, CheckpointState state, RunHistory history, List<String> notices) {
    /**
     * {@return the newest checkpoint that can be used, if there is one}
     *
     * @param store the checkpoints
     * @param run what is to go on
     * @param otherQuantizer whether layers may have another quantizer
     * @throws IllegalArgumentException if the checkpoint is one of another configuration; naming every difference
     * @throws FormatException if all checkpoints are damaged
     */
    static Optional<Resumption> find(CheckpointStore store, PreparedRun run, boolean otherQuantizer) {
        List<String> notices = new ArrayList<>();
        Optional<Checkpoint> newest = store.newest(notices);
        return newest.map(checkpoint -> {
            CheckpointState state = CheckpointState.read(checkpoint);
            RunHistory history = RunHistory.of(checkpoint.json(CheckpointFile.HISTORY), state.step());
            notices.add("continuing %s after step %d".formatted(checkpoint.path(), state.step()));
            ResolvedConfiguration here = run.configuration();
            ResolvedConfiguration there = state.configuration();
            requireSame(checkpoint, differences(run, state, otherQuantizer));
            List<String> quantizers = new ArrayList<>(here.quantizerDifferences(there));
            List<String> dropped = run.precision().unknown(state.quantizers());
            if (quantizers.isEmpty() && !dropped.isEmpty()) {
                quantizers.add(
                        ActiveQuantizers.named(dropped) + " had backed off to a quantizer that this run has not");
            }
            if (!quantizers.isEmpty()) {
                notices.add(String.join("; ", quantizers)
                        + (dropped.isEmpty() ? "" : ": what the replaced quantizers had learned is dropped"));
            }
            if (here.steps() > there.steps()) {
                notices.add("the steps grow from %d to %d: the learning rate follows the new total from here on"
                        .formatted(there.steps(), here.steps()));
            }
            if (!here.backend().equals(there.backend())) {
                notices.add("the backend is %s here, but %s there: the bits are only the same if the two agree"
                        .formatted(here.backend(), there.backend()));
            }
            return new Resumption(checkpoint, state, history, List.copyOf(notices));
        });
    }

    private static List<String> differences(PreparedRun run, CheckpointState state, boolean otherQuantizer) {
        ResolvedConfiguration here = run.configuration();
        ResolvedConfiguration there = state.configuration();
        List<String> differences = here.differences(there);
        if (!run.dataHash().equals(state.dataHash())) {
            differences.add("the data has other contents");
        }
        if (here.steps() > there.steps() && state.step() > there.steps()) {
            differences.add("steps is %d here, but %d there, and cannot grow any more: fine-tuning has begun"
                    .formatted(here.steps(), there.steps()));
        }
        if (!otherQuantizer) {
            List<String> quantizers = here.quantizerDifferences(there);
            differences.addAll(quantizers);
            if (!quantizers.isEmpty()) {
                differences.add("another quantizer must be asked for (nibble train: --other-quantizer)");
            }
        }
        return differences;
    }

    private static void requireSame(Checkpoint checkpoint, List<String> differences) {
        if (!differences.isEmpty()) {
            throw new IllegalArgumentException("checkpoint " + checkpoint.path()
                    + " is one of another configuration and cannot be continued: " + String.join("; ", differences));
        }
    }
}
