package dev.nibble.cli;

import dev.nibble.error.NibbleException;
import dev.nibble.models.files.AtomicFile;
import dev.nibble.models.files.IoReason;
import dev.nibble.models.files.JsonFields;
import dev.nibble.models.files.JsonTree;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;

/**
 * The finished runs of a ladder, a small file each: what is interrupted goes on with those that are missing.
 *
 * @param folder where they are
 */
record LadderStore(Path folder) {
    private static final int LEVELS = 2;

    /**
     * {@return a finished run, if it is there and is the one that is asked for}
     *
     * @param key what must be the same
     * @throws dev.nibble.error.FormatException if its file is damaged
     * @throws NibbleException if it cannot be read
     */
    Optional<LadderRun> find(Ladder.Task task, Ladder.Row row, long seed, String key) {
        Path file = file(task, row, seed);
        if (!Files.isRegularFile(file)) {
            return Optional.empty();
        }
        try {
            String name = file.toString();
            JsonFields json = new JsonFields(name, JsonTree.parse(name, Files.readAllBytes(file), LEVELS));
            return Optional.of(LadderRun.of(json)).filter(run -> run.key().equals(key));
        } catch (IOException e) {
            throw new NibbleException(file + " cannot be read: " + IoReason.of(e), e);
        }
    }

    /**
     * Keeps a run.
     *
     * @throws NibbleException if it cannot be written
     */
    void keep(Ladder.Task task, Ladder.Row row, LadderRun run) {
        Path file = file(task, row, run.seed());
        try {
            Files.createDirectories(file.getParent());
        } catch (IOException e) {
            throw new NibbleException(file.getParent() + " cannot be made: " + IoReason.of(e), e);
        }
        AtomicFile.write(file, Json.text(run.json()) + "\n");
    }

    /** Rows have numbers, too: labels that differ in signs alone get files of their own. */
    private Path file(Ladder.Task task, Ladder.Row row, long seed) {
        int place = task.rows().indexOf(row);
        String plain = row.label().replaceAll("[^A-Za-z0-9._-]", "_");
        return folder.resolve("runs").resolve(task.name()).resolve(place + "-" + plain + "-" + seed + ".json");
    }
}
