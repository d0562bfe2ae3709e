package dev.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.nibble.models.checkpoint.Checkpoint;
import dev.nibble.models.checkpoint.CheckpointStore;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Kills runs, as a power failure of the process would, and fills the disk below them. */
class KillTests {
    private static final int KILLS = 30;
    private static final int STEPS = 160;
    private static final long PATIENCE_SECONDS = 120; // for a process to get one step further

    @TempDir
    Path folder;

    private Process start(String out) throws IOException {
        return start(out, command(folder.resolve(out)));
    }

    private Process start(String log, List<String> words) throws IOException {
        return new ProcessBuilder(words)
                .redirectErrorStream(true)
                .redirectOutput(ProcessBuilder.Redirect.appendTo(
                        folder.resolve(log + ".log").toFile()))
                .start();
    }

    /** {@return the command line that starts a run or goes on with it} */
    private static List<String> command(Path out) {
        String classPath = Stream.of(System.getProperty("jdk.module.path", ""), System.getProperty("java.class.path"))
                .filter(path -> !path.isEmpty())
                .collect(Collectors.joining(File.pathSeparator));
        List<String> words = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-XX:TieredStopAtLevel=1",
                "--add-modules",
                "jdk.incubator.vector",
                "-cp",
                classPath,
                "dev.nibble.cli.Nibble"));
        words.addAll(List.of(("train --quantizer int4 --steps " + STEPS + " --quiet --resume --threads 1"
                        + " --set model.width=32 --set model.heads=2 --set model.hidden=48 --set model.layers=1"
                        + " --set data.batch=4 --set data.sequence=16 --set data.validationBatches=2"
                        + " --set train.evaluateEvery=7 --set train.checkpointEvery=1")
                .split(" ", -1)));
        words.addAll(List.of("--out", out.toString()));
        return words;
    }

    private int newestStep(String out) {
        List<Checkpoint> all = new CheckpointStore(folder.resolve(out).resolve(CheckpointStore.FOLDER)).all();
        return all.isEmpty() ? -1 : all.getLast().step();
    }

    private byte[] bytes(String out, String file) throws IOException {
        return Files.readAllBytes(folder.resolve(out)
                .resolve(CheckpointStore.FOLDER)
                .resolve(CheckpointStore.name(STEPS))
                .resolve(file));
    }

    private List<String> metrics(String out) throws IOException {
        return Files.readAllLines(folder.resolve(out).resolve("metrics.csv")).stream()
                .map(line -> line.replaceFirst("^((?:[^,]*,){5})[^,]*,[^,]*,", "$1")) // without the columns of times
                .toList();
    }

    /** {@return whether a checkpoint was being written} */
    private boolean isHalfWritten(String out) throws IOException {
        try (Stream<Path> entries = Files.list(folder.resolve(out).resolve(CheckpointStore.FOLDER))) {
            return entries.anyMatch(entry -> entry.getFileName().toString().contains(".new."));
        }
    }

    private void requireSameRuns(String whole, String other) throws IOException {
        for (String file : List.of("model.safetensors", "optimizer.safetensors", "quantizer.safetensors")) {
            assertArrayEquals(bytes(whole, file), bytes(other, file), file);
        }
        assertEquals(metrics(whole), metrics(other));
        assertEquals(1 + STEPS, metrics(other).size());
    }

    @Test
    @Tag("slow")
    void runThatIsKilledThirtyTimesEndsWithTheSameBits() throws Exception {
        assertEquals(0, start("whole").waitFor());
        SplittableRandom random = new SplittableRandom(1);
        int halfWritten = 0;
        for (int kill = 0; kill < KILLS; kill++) {
            int target = newestStep("killed") + 1 + random.nextInt(4);
            Process process = start("killed");
            long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(PATIENCE_SECONDS);
            while (newestStep("killed") < target && process.isAlive() && System.nanoTime() < deadline) {
                Thread.sleep(1);
            }
            Thread.sleep(random.nextInt(60)); // anywhere in a step or in the writing of a checkpoint
            boolean aim = kill % 2 == 1; // and every other time, into the latter
            while (aim && !isHalfWritten("killed") && process.isAlive() && System.nanoTime() < deadline) {
                Thread.onSpinWait();
            }
            assertTrue(process.isAlive(), Files.readString(folder.resolve("killed.log")));
            process.destroyForcibly().waitFor();
            halfWritten += isHalfWritten("killed") ? 1 : 0;
        }
        assertEquals(0, start("killed").waitFor(), () -> "after " + KILLS + " kills");
        requireSameRuns("whole", "killed");
        assertTrue(halfWritten > 0, "no kill fell into the writing of a checkpoint");
    }

    /** A disk of 1,000 KiB, which a checkpoint of 300 KiB more would not fit on. */
    @Test
    @Tag("slow")
    void runOnAFullDiskEndsAndGoesOnElsewhereToTheSameBits() throws Exception {
        assumeTrue(Files.isExecutable(Path.of("/usr/bin/unshare")), "there is no unshare: no small disk can be made");
        Path disk = Files.createDirectory(folder.resolve("disk"));
        String script = "mount -t tmpfs -o size=1000k none \"$0\" || exit 77; \"$@\"; status=$?;"
                + " cp -r \"$0/run\" \"$0/../copy\" && exit $status";
        List<String> words = new ArrayList<>(List.of("/usr/bin/unshare", "-Urm", "sh", "-c", script, disk.toString()));
        words.addAll(command(disk.resolve("run")));
        int status = start("disk", words).waitFor();
        String said = Files.readString(folder.resolve("disk.log"));
        assumeTrue(status == 1 || said.contains("nibble: "), "this system lets nobody mount: " + said);
        assertEquals(1, status, said);
        String last = said.lines().filter(line -> line.startsWith("nibble: ")).reduce("", (_, line) -> line);
        int good = newestStep("copy");
        assertTrue(good >= 0 && good < STEPS, said);
        assertTrue(
                last.contains("No space left on device; the last good one is "
                        + disk.resolve("run/checkpoints").resolve(CheckpointStore.name(good))),
                said);
        assertFalse(isHalfWritten("copy"), "what could not be written is gone");
        assertEquals(0, start("copy").waitFor(), () -> "resumed where there is space");
        assertEquals(0, start("whole").waitFor());
        requireSameRuns("whole", "copy");
    }
}
