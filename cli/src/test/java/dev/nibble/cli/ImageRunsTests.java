package dev.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ImageRunsTests {
    private static final List<String> TINY = List.of(
            "--set",
            "model.layers=1",
            "--set",
            "model.width=16",
            "--set",
            "model.heads=2",
            "--set",
            "model.hidden=16",
            "--set",
            "model.patch=4",
            "--set",
            "data.batch=8",
            "--backend",
            "reference",
            "--steps",
            "4");

    @TempDir
    Path folder;

    @BeforeEach
    void writeImages() throws IOException {
        Files.createDirectory(folder.resolve("data"));
        for (String part : List.of("train", "t10k")) {
            ByteBuffer images = ByteBuffer.allocate(16 + 20 * 64); // 20 images of 8x8
            ByteBuffer labels = ByteBuffer.allocate(8 + 20);
            images.putInt(0x0803).putInt(20).putInt(8).putInt(8);
            labels.putInt(0x0801).putInt(20);
            SplittableRandom random = new SplittableRandom(1);
            for (int image = 0; image < 20; image++) {
                labels.put((byte) (image % 10));
                for (int i = 0; i < 64; i++) {
                    images.put((byte) random.nextInt(256));
                }
            }
            Files.write(folder.resolve("data/" + part + "-images-idx3-ubyte"), images.array());
            Files.write(folder.resolve("data/" + part + "-labels-idx1-ubyte"), labels.array());
        }
    }

    private Outcome run(String... words) {
        List<String> all = new ArrayList<>(List.of(words));
        all.addAll(TINY);
        all.addAll(List.of("--out", folder.resolve("out").toString()));
        return Outcome.of(all.toArray(String[]::new));
    }

    private String data() {
        return folder.resolve("data").toString();
    }

    @Test
    void compareTellsAccuracyAndSamples() throws IOException {
        Outcome outcome = run("compare", "images", "--data", data(), "--quantizers", "fp32,bf16");
        assertEquals(0, outcome.status(), outcome.err());
        String header = outcome.out().lines().findFirst().orElseThrow();
        assertTrue(header.contains("  accuracy  samples/s  "), header);
        assertTrue(outcome.out().lines().skip(1).limit(2).allMatch(line -> line.contains(" %  ")), outcome.out());
        assertTrue(outcome.err().contains("4 steps of 8 samples"), outcome.err());
        assertTrue(outcome.err().contains(" samples/s"), outcome.err());
        assertTrue(outcome.err().contains(", accuracy "), outcome.err());
        assertFalse(outcome.err().contains("tokens"), outcome.err());
        String report = Files.readString(folder.resolve("out/report.html"));
        assertTrue(report.contains("<th>accuracy</th>"), "the report has the column");
    }

    @Test
    void jsonHasTheFieldsOfAClassification() {
        Outcome outcome = run("compare", "images", "--data", data(), "--quantizers", "fp32", "--json", "--quiet");
        assertEquals(0, outcome.status(), outcome.err());
        JsonNode run = outcome.json().at("/runs/0");
        for (String field : List.of(
                "finalTrainLoss",
                "finalValidationLoss",
                "samplesPerSecond",
                "seconds",
                "peakBytes",
                "savedActivationBytes")) {
            assertTrue(run.get(field).asDouble() > 0, field + " of " + run);
        }
        double accuracy = run.get("finalValidationAccuracy").asDouble(-1);
        assertTrue(accuracy >= 0 && accuracy <= 1, run.toString());
        assertFalse(run.has("tokensPerSecond"));
    }

    @Test
    void missingDataIsAMisuseAndMissingFilesAreAFailure() throws IOException {
        Outcome none = run("compare", "images", "--quantizers", "fp32,fp23");
        assertEquals(2, none.status(), none.err());
        assertTrue(none.err().contains("name it with --data DIR"), none.err());
        assertTrue(none.err().contains("'fp23'"), none.err());
        Path labels = folder.resolve("data/t10k-labels-idx1-ubyte");
        Files.delete(labels);
        Outcome missing = run("train", "images", "--data", data(), "--quantizer", "fp32");
        assertEquals(1, missing.status(), missing.err());
        assertTrue(missing.err().contains("has no t10k-labels-idx1-ubyte "), missing.err());
        assertTrue(missing.err().contains("dataset-fashion-mnist"), missing.err());
        assertFalse(Files.exists(folder.resolve("out")), "nothing is written");
    }

    @Test
    void dataNamedTwiceAndUnknownPresetAreMisuse() {
        Outcome twice = run("train", "images", "--data", data(), "--set", "data.path=" + data(), "--quantizer", "fp32");
        assertEquals(2, twice.status(), twice.err());
        assertTrue(twice.err().contains("the data is named by --data and by --set data.path"), twice.err());
        Outcome unknown = run("train", "image", "--data", data(), "--quantizer", "fp32");
        assertEquals(2, unknown.status(), unknown.err());
        assertTrue(unknown.err().contains("Did you mean 'images'?"), unknown.err());
        assertFalse(unknown.err().contains("no data"), unknown.err());
    }

    @Test
    void damagedFileIsAFailedRunWithItsReason() throws IOException {
        Files.write(folder.resolve("data/t10k-labels-idx1-ubyte"), new byte[] {0, 0, 8, 1, 0, 0, 0, 20, 99});
        Outcome outcome = run("train", "images", "--data", data(), "--quantizer", "fp32", "--json", "--quiet");
        assertEquals(1, outcome.status(), outcome.err());
        assertTrue(
                outcome.json().at("/error/message").asText().contains("has 1 bytes after its header"), outcome.out());
        assertTrue(outcome.json().has("samplesPerSecond"), outcome.out());
    }

    @Test
    void textIsReadFromDataToo() throws IOException {
        Path text = Files.write(folder.resolve("book.txt"), new byte[2000]);
        Outcome outcome = Outcome.of(
                "train",
                "--data",
                text.toString(),
                "--quantizer",
                "fp32",
                "--set",
                "model.layers=1",
                "--set",
                "model.width=16",
                "--set",
                "data.sequence=16",
                "--set",
                "data.batch=1",
                "--backend",
                "reference",
                "--steps",
                "1",
                "--out",
                folder.resolve("out").toString());
        assertEquals(0, outcome.status(), outcome.err());
        assertTrue(outcome.out().contains("tokens/s"), outcome.out());
    }

    @Test
    void trainHelpListsTheLayersOfBothPresets() {
        String help = Outcome.of("train", "--help").out();
        for (String part :
                List.of("Preset images", "Preset text", "--data", "model.mlp", "  patch, blocks.N.attn.qkv")) {
            assertTrue(help.contains(part), part + " in " + help);
        }
    }
}
