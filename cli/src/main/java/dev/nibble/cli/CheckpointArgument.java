package dev.nibble.cli;

import dev.nibble.error.NibbleException;
import dev.nibble.models.checkpoint.Checkpoint;
import dev.nibble.models.checkpoint.CheckpointStore;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** The checkpoint that an argument names: its folder, or the folder of a run, of which the newest counts. */
final class CheckpointArgument {
    private CheckpointArgument() {}

    /**
     * {@return the checkpoint, verified} Damaged ones that are passed over are told.
     *
     * @throws NibbleException if there is none
     */
    static Checkpoint find(Path source, Terminal terminal) {
        List<String> damaged = new ArrayList<>();
        Checkpoint checkpoint = find(source, damaged);
        damaged.forEach(message -> terminal.err().println("nibble: " + Failure.oneLine(message)));
        return checkpoint;
    }

    private static Checkpoint find(Path source, List<String> damaged) {
        if (!Files.isDirectory(source)) {
            throw new NibbleException(
                    source + (Files.exists(source) ? " is a file, but must be a folder" : " does not exist"));
        }
        Path folder = source.toAbsolutePath().normalize();
        if (CheckpointStore.step(folder).isPresent()) {
            Checkpoint checkpoint =
                    new Checkpoint(source, CheckpointStore.step(folder).getAsInt());
            checkpoint.verify();
            return checkpoint;
        }
        Path inner = source.resolve(CheckpointStore.FOLDER);
        CheckpointStore store = new CheckpointStore(Files.isDirectory(inner) ? inner : source);
        return store.newest(damaged)
                .orElseThrow(() -> new NibbleException(
                        source + " holds no checkpoint, but a checkpoint or the folder of a run is needed"));
    }
}
