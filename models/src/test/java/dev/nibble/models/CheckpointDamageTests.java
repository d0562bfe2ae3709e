package dev.nibble.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.models.checkpoint.Checkpoint;
import dev.nibble.models.checkpoint.CheckpointFile;
import dev.nibble.models.files.HostileFile;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The JSON of a hostile checkpoint, whose hashes may be right: it is read, or refused in one clear way. */
class CheckpointDamageTests {
    @TempDir
    static Path folder;

    private static Checkpoint checkpoint;

    @BeforeAll
    static void train() {
        RunConfig config = RunFixture.tiny().withSteps(2).withQuantizer(QuantizerChoice.of("int8-fallback"));
        new RunFolder(folder, new RunOrigin("test", "1", List.of(), Map.of()))
                .train(Runs.create(), config.with("train.telemetryEvery", "1"), RunListener.SILENT, Start.NEW);
        checkpoint = new Checkpoint(folder.resolve("checkpoints/step-000002"), 2);
        checkpoint.verify();
    }

    private static void readState(Path file) {
        Checkpoint damaged = new Checkpoint(file.getParent(), 2);
        assertEquals(2, CheckpointState.read(damaged).step());
    }

    private static void readHistory(Path file) {
        Checkpoint damaged = new Checkpoint(file.getParent(), 2);
        assertEquals(
                2,
                RunHistory.of(damaged.json(CheckpointFile.HISTORY), 2).curve().size());
    }

    private static int refusals(CheckpointFile file, HostileFile.Reader reader, int times, long seed)
            throws IOException {
        Path alone = Files.createDirectories(folder.resolve("alone/" + file.name()));
        byte[] good = Files.readAllBytes(checkpoint.file(file));
        return new HostileFile(alone.resolve(file.fileName()), good, HostileFile.JSON, reader).refusals(times, seed);
    }

    @Test
    void changedFilesAreReadOrRefused() throws IOException {
        assertTrue(refusals(CheckpointFile.STATE, CheckpointDamageTests::readState, 1_000, 3) > 600);
        assertTrue(
                refusals(CheckpointFile.HISTORY, CheckpointDamageTests::readHistory, 1_000, 4) > 250,
                "a digit of a loss may change");
    }

    @Test
    @Tag("slow")
    void changedFilesAreReadOrRefusedAHundredThousandTimes() throws IOException {
        assertTrue(refusals(CheckpointFile.STATE, CheckpointDamageTests::readState, 100_000, 5) > 60_000);
        assertTrue(refusals(CheckpointFile.HISTORY, CheckpointDamageTests::readHistory, 100_000, 6) > 25_000);
    }
}
