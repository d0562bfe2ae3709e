package dev.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

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

/** Kills runs, as a power failure of the process would. */
class KillTests {
    private static final int KILLS = 30;
    private static final int STEPS = 160;
    private static final long PATIENCE_SECONDS = 120; // for a process to get one step further

    @TempDir
    Path folder;

    private Process start(String out) throws IOException {
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
        words.addAll(List.of("--out", folder.resolve(out).toString()));
        return new ProcessBuilder(words)
                .redirectErrorStream(true)
                .redirectOutput(ProcessBuilder.Redirect.appendTo(
                        folder.resolve(out + ".log").toFile()))
                .start();
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

    @Test
    @Tag("slow")
    void runThatIsKilledThirtyTimesEndsWithTheSameBits() throws Exception {
        assertEquals(0, start("whole").waitFor());
        SplittableRandom random = new SplittableRandom(1);
        for (int kill = 0; kill < KILLS; kill++) {
            int target = newestStep("killed") + 1 + random.nextInt(4);
            Process process = start("killed");
            long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(PATIENCE_SECONDS);
            while (newestStep("killed") < target && process.isAlive() && System.nanoTime() < deadline) {
                Thread.sleep(1);
            }
            Thread.sleep(random.nextInt(60)); // anywhere in a step or in the writing of a checkpoint
            assertTrue(process.isAlive(), Files.readString(folder.resolve("killed.log")));
            process.destroyForcibly().waitFor();
        }
        assertEquals(0, start("killed").waitFor(), () -> "after " + KILLS + " kills");
        for (String file : List.of("model.safetensors", "optimizer.safetensors", "quantizer.safetensors")) {
            assertArrayEquals(bytes("whole", file), bytes("killed", file), file);
        }
        assertEquals(metrics("whole"), metrics("killed"));
        assertEquals(1 + STEPS, metrics("killed").size());
    }
}
