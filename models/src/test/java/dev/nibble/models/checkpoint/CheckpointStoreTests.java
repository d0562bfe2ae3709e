package dev.nibble.models.checkpoint;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.error.FormatException;
import dev.nibble.error.NibbleException;
import dev.nibble.models.files.AtomicFile;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.Set;
import java.util.SplittableRandom;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class CheckpointStoreTests {
    @TempDir
    Path folder;

    private CheckpointStore store;

    @BeforeEach
    void makeStore() {
        store = new CheckpointStore(folder.resolve("run/checkpoints"));
    }

    private static Map<CheckpointFile, AtomicFile.Content> contents(String text) {
        Map<CheckpointFile, AtomicFile.Content> contents = new EnumMap<>(CheckpointFile.class);
        for (CheckpointFile file : CheckpointFile.values()) {
            byte[] bytes = (file.fileName() + " " + text).getBytes(StandardCharsets.UTF_8);
            contents.put(file, stream -> stream.write(bytes));
        }
        return contents;
    }

    private List<Integer> steps() {
        return store.all().stream().map(Checkpoint::step).toList();
    }

    private List<String> entries() throws IOException {
        try (Stream<Path> entries = Files.list(store.path())) {
            return entries.map(entry -> entry.getFileName().toString()).sorted().toList();
        }
    }

    @Test
    void checkpointIsAFolderWithFilesAndTheirHashes() throws IOException {
        Checkpoint checkpoint = store.write(40, contents("a"));
        assertEquals(store.path().resolve("step-000040"), checkpoint.path());
        checkpoint.verify();
        assertEquals("model.safetensors a", Files.readString(checkpoint.file(CheckpointFile.MODEL)));
        List<String> sums = Files.readAllLines(checkpoint.path().resolve("SHA256SUMS"));
        assertEquals(CheckpointFile.values().length, sums.size());
        // printf 'model.safetensors a' | sha256sum
        assertEquals(
                "ef9ae8b76dd02db97b71f45c7aa18cfbcb1f72a0b606fd605a6a0cea237d9e71  model.safetensors", sums.getFirst());
        assertEquals(List.of("step-000040"), entries());
    }

    @Test
    void aCheckpointWithoutAveragesIsWhole() throws IOException {
        Map<CheckpointFile, AtomicFile.Content> contents = contents("a");
        contents.remove(CheckpointFile.AVERAGES);
        Checkpoint checkpoint = store.write(40, contents);
        checkpoint.verify();
        assertEquals(checkpoint.file(CheckpointFile.MODEL), checkpoint.weights());
        Files.writeString(checkpoint.file(CheckpointFile.AVERAGES), "of another run");
        FormatException e = assertThrows(FormatException.class, checkpoint::verify);
        assertTrue(e.getMessage().contains("is damaged: ema.safetensors is not what was written"), e.getMessage());
    }

    @Test
    void weightsOfWhoUsesTheModelAreTheAverages() {
        Checkpoint checkpoint = store.write(40, contents("a"));
        assertEquals(checkpoint.file(CheckpointFile.AVERAGES), checkpoint.weights());
        assertEquals(
                checkpoint.file(CheckpointFile.MODEL),
                checkpoint.withoutAverages().weights());
    }

    @Test
    void newestIsTheOneWithTheMostSteps() {
        for (int step : new int[] {5, 1_000_000, 20, 0}) {
            store.write(step, contents("a"));
        }
        assertEquals(List.of(0, 5, 20, 1_000_000), steps());
        List<String> damaged = new ArrayList<>();
        assertEquals(1_000_000, store.newest(damaged).orElseThrow().step());
        assertEquals(List.of(), damaged);
    }

    @Test
    void noFolderIsNoCheckpoint() {
        assertTrue(store.newest(new ArrayList<>()).isEmpty());
        assertEquals(List.of(), steps());
        store.clear();
    }

    @ParameterizedTest
    @EnumSource
    void anyChangedByteIsFoundAndTheOneBeforeIsUsed(CheckpointFile file) throws IOException {
        store.write(1, contents("a"));
        Path changed = store.write(2, contents("b")).file(file);
        byte[] bytes = Files.readAllBytes(changed);
        SplittableRandom random = new SplittableRandom(file.ordinal());
        bytes[random.nextInt(bytes.length)] ^= (byte) (1 << random.nextInt(8));
        Files.write(changed, bytes);
        List<String> damaged = new ArrayList<>();
        assertEquals(1, store.newest(damaged).orElseThrow().step());
        assertEquals(
                List.of("checkpoint " + store.path().resolve("step-000002") + " is damaged: " + file.fileName()
                        + " is not what was written (its hash is not the one in SHA256SUMS)"),
                damaged);
    }

    @ParameterizedTest
    @EnumSource
    void missingFileIsNamed(CheckpointFile file) throws IOException {
        Checkpoint checkpoint = store.write(2, contents("b"));
        Files.delete(checkpoint.file(file));
        FormatException e = assertThrows(FormatException.class, checkpoint::verify);
        assertTrue(e.getMessage().endsWith("is damaged: it has no file " + file.fileName()), e.getMessage());
    }

    @Test
    void damagedHashesAreDamage() throws IOException {
        Checkpoint checkpoint = store.write(2, contents("b"));
        Path sums = checkpoint.path().resolve(Checkpoint.SUMS);
        String good = Files.readString(sums);
        for (String bad : List.of(
                "",
                good.stripTrailing(),
                good + good,
                good + "x\n",
                good.replace("  ", " "),
                good.replaceFirst("\n.*", ""),
                good.replaceFirst("[0-9a-f]{64}", "0".repeat(64)),
                good.replace("state.json", "../state.json"),
                "x".repeat(5000))) {
            Files.writeString(sums, bad);
            assertThrows(FormatException.class, checkpoint::verify, bad);
        }
        Files.writeString(sums, good);
        checkpoint.verify();
    }

    @Test
    void allDamagedIsAFailureThatNamesThem() throws IOException {
        for (int step = 0; step < 2; step++) {
            Files.writeString(store.write(step, contents("a")).file(CheckpointFile.STATE), "{}");
        }
        FormatException e = assertThrows(FormatException.class, () -> store.newest(new ArrayList<>()));
        assertTrue(e.getMessage().startsWith("no checkpoint in " + store.path() + " can be used: "), e.getMessage());
        assertTrue(e.getMessage().contains("step-000001 is damaged")
                && e.getMessage().contains("step-000000 is damaged"));
    }

    @Test
    void fullDiskNamesTheLastGoodOneAndLeavesNothing() throws IOException {
        Checkpoint good = store.write(1, contents("a"));
        Map<CheckpointFile, AtomicFile.Content> failing = contents("b");
        failing.put(CheckpointFile.QUANTIZER, stream -> {
            stream.write(new byte[100_000]);
            throw new IOException("No space left on device");
        });
        NibbleException e = assertThrows(NibbleException.class, () -> store.write(2, failing));
        assertEquals(
                "checkpoint " + store.path().resolve("step-000002")
                        + " cannot be written: No space left on device; the last good one is " + good.path(),
                e.getMessage());
        assertEquals(List.of("step-000001"), entries());
        good.verify();
        NibbleException again = assertThrows(NibbleException.class, () -> store.write(1, failing));
        assertTrue(again.getMessage().endsWith("; there is no other checkpoint"), again.getMessage());
        good.verify();
    }

    @Test
    void fileInThePlaceOfTheFolderIsReported() throws IOException {
        Files.createDirectories(store.path().getParent());
        Files.writeString(store.path(), "a file");
        NibbleException e = assertThrows(NibbleException.class, () -> store.write(1, contents("a")));
        assertEquals(store.path() + " is a file, but must be a folder", e.getMessage());
        assertEquals("a file", Files.readString(store.path()));
    }

    @Test
    void sameStepIsReplaced() throws IOException {
        store.write(3, contents("a"));
        Checkpoint second = store.write(3, contents("b"));
        second.verify();
        assertEquals("model.safetensors b", Files.readString(second.file(CheckpointFile.MODEL)));
        assertEquals(List.of("step-000003"), entries());
    }

    @Test
    void newestAndBestAreKept() throws IOException {
        for (int step = 1; step <= 6; step++) {
            store.write(step, contents("a"));
        }
        store.prune(2, OptionalInt.of(3), Set.of());
        assertEquals(List.of(3, 5, 6), steps());
        assertEquals("step-000003\n", Files.readString(store.path().resolve("best")));
        store.prune(1, OptionalInt.empty(), Set.of());
        assertEquals(List.of(6), steps());
        assertFalse(Files.exists(store.path().resolve("best")), "it would name one that is gone");
    }

    @Test
    void whatAKilledRunLeftIsDeleted() throws IOException {
        store.write(1, contents("a"));
        Path left = Files.createDirectory(store.path().resolve(".step-000002.new.77.tmp"));
        Files.writeString(left.resolve("model.safetensors"), "half");
        Files.writeString(store.path().resolve("note.txt"), "mine");
        assertEquals(List.of(1), steps());
        store.clear();
        assertEquals(List.of("note.txt", "step-000001"), entries());
    }

    @Test
    void checkpointThatWasAboutToBeReplacedIsFoundAgain() throws IOException {
        Path old = store.path().resolve(".step-000002.old.77.tmp");
        Files.move(store.write(2, contents("a")).path(), old);
        store.clear();
        store.newest(new ArrayList<>()).orElseThrow().verify();
        assertEquals(List.of("step-000002"), entries());
        // a new one was in its place already
        Files.move(store.write(2, contents("a")).path(), old);
        store.write(2, contents("b"));
        store.clear();
        assertEquals(List.of("step-000002"), entries());
        assertEquals("model.safetensors b", Files.readString(store.path().resolve("step-000002/model.safetensors")));
    }

    @Test
    void newerDamagedOnesGetAnotherName() throws IOException {
        Checkpoint used = store.write(1, contents("a"));
        store.write(2, contents("b"));
        store.setAsideAfter(used);
        assertEquals(List.of("step-000001", "step-000002.damaged"), entries());
        store.write(2, contents("c"));
        store.setAsideAfter(used);
        assertEquals(List.of("step-000001", "step-000002.damaged"), entries());
    }

    @Test
    void checkpointsOfAnEarlierRunAreKeptOnce() throws IOException {
        assertTrue(store.setAside().isEmpty());
        store.write(0, contents("a"));
        assertTrue(store.setAside().isEmpty(), "a run that did not get to its first step has nothing to keep");
        assertEquals(List.of(), entries());
        for (String run : List.of("b", "c")) {
            store.write(7, contents(run));
            Path old = store.setAside().orElseThrow();
            assertEquals(store.path().resolveSibling("checkpoints.old"), old);
            assertEquals("model.safetensors " + run, Files.readString(old.resolve("step-000007/model.safetensors")));
        }
    }

    @Test
    void otherNamesAreNoCheckpoints() throws IOException {
        Files.createDirectories(store.path());
        for (String name : List.of("step-1", "step-0000001234", "step-00000x", "step-000001.damaged", "step-")) {
            Files.createDirectory(store.path().resolve(name));
        }
        assertEquals(List.of(), steps());
    }
}
