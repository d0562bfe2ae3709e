package dev.nibble.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

import dev.nibble.models.files.Sha256;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** What of a run's folder must be the same for the same run, however often it was broken off. */
final class RunSnapshot {
    private static final List<String> BITS =
            List.of("model.safetensors", "optimizer.safetensors", "quantizer.safetensors");

    private final Map<String, String> hashes = new TreeMap<>(); // of the last checkpoint's tensors
    private final List<String> metrics;

    /**
     * Looks at a folder.
     *
     * @param step of the checkpoint that is compared
     */
    RunSnapshot(Path folder, int step) {
        Path checkpoint = folder.resolve("checkpoints/step-%06d".formatted(step));
        try {
            for (String file : BITS) {
                hashes.put(file, Sha256.of(checkpoint.resolve(file)));
            }
            Path averages = checkpoint.resolve("ema.safetensors");
            if (Files.exists(averages)) {
                hashes.put("ema.safetensors", Sha256.of(averages));
            }
            metrics = Files.readAllLines(folder.resolve("metrics.csv")).stream()
                    .map(RunSnapshot::withoutTimes)
                    .toList();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static String withoutTimes(String line) {
        List<String> cells = List.of(line.split(",", -1));
        return String.join(",", cells.subList(0, 5)) + "," + String.join(",", cells.subList(7, cells.size()));
    }

    void assertSameAs(RunSnapshot other) {
        assertEquals(other.hashes, hashes);
        assertEquals(other.metrics, metrics);
    }

    void assertOtherModelThan(RunSnapshot other) {
        assertNotEquals(other.hashes.get(BITS.getFirst()), hashes.get(BITS.getFirst()));
    }

    /** {@return the lines of metrics.csv without the columns that tell times} */
    List<String> metrics() {
        return metrics;
    }
}
