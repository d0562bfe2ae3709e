package dev.nibble.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.error.FormatException;
import dev.nibble.models.checkpoint.Checkpoint;
import dev.nibble.models.checkpoint.CheckpointFile;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The JSON of a hostile checkpoint, whose hashes may be right: it is read, or refused in one clear way. */
class CheckpointDamageTests {
    private static final List<String> HOSTILE = List.of(
            "\"",
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "-1",
            "1e99",
            "9223372036854775807",
            "99999999999999999999",
            "null",
            "true",
            "\"NaN\"",
            "\"x\"",
            "[[[[[[[[[",
            "{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":",
            "\\u0000",
            "0.5",
            "\u0000");

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

    private static void read(CheckpointFile file) {
        if (file == CheckpointFile.STATE) {
            assertEquals(2, CheckpointState.read(checkpoint).step());
        } else {
            assertEquals(2, RunHistory.of(checkpoint.json(file), 2).curve().size());
        }
    }

    @Test
    void changedFilesAreReadOrRefused() throws IOException {
        assertTrue(mutate(CheckpointFile.STATE, 400, 3) > 250);
        assertTrue(mutate(CheckpointFile.HISTORY, 400, 4) > 100, "a digit of a loss may change");
    }

    @Test
    @Tag("slow")
    void changedFilesAreReadOrRefusedAHundredThousandTimes() throws IOException {
        assertTrue(mutate(CheckpointFile.STATE, 100_000, 5) > 60_000);
        assertTrue(mutate(CheckpointFile.HISTORY, 100_000, 6) > 25_000);
    }

    private static int mutate(CheckpointFile file, int times, long seed) throws IOException {
        Path path = checkpoint.file(file);
        String good = Files.readString(path);
        read(file);
        SplittableRandom random = new SplittableRandom(seed);
        int refused = 0;
        for (int i = 0; i < times; i++) {
            Files.write(path, changed(good, random));
            try {
                read(file);
            } catch (FormatException e) {
                assertTrue(e.getMessage().startsWith(path.toString()), e.getMessage());
                assertEquals(1, e.getMessage().lines().count(), e.getMessage());
                refused++;
            }
        }
        Files.writeString(path, good);
        return refused;
    }

    private static byte[] changed(String good, SplittableRandom random) {
        byte[] bytes = good.getBytes(StandardCharsets.UTF_8);
        int at = random.nextInt(bytes.length);
        return switch (random.nextInt(4)) {
            case 0 -> {
                bytes[at] = (byte) random.nextInt(256);
                yield bytes;
            }
            case 1 -> {
                bytes[at] ^= (byte) (1 << random.nextInt(8));
                yield bytes;
            }
            case 2 -> good.substring(0, at).getBytes(StandardCharsets.UTF_8);
            default -> {
                String hostile = HOSTILE.get(random.nextInt(HOSTILE.size()));
                int end = Math.min(good.length(), at + random.nextInt(6));
                yield (good.substring(0, at) + hostile + good.substring(end)).getBytes(StandardCharsets.UTF_8);
            }
        };
    }
}
