package dev.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.nibble.models.files.FolderLock;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CompareCommandTests {
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
            "data.batch=1",
            "--set",
            "data.sequence=16",
            "--set",
            "data.validationBatches=1",
            "--backend",
            "reference",
            "--steps",
            "4");

    @TempDir
    Path folder;

    private static String[] tiny(String... words) {
        List<String> all = new ArrayList<>(List.of(words));
        all.addAll(TINY);
        return all.toArray(String[]::new);
    }

    @Test
    void twoQuantizersGiveTableReportAndFolders() throws IOException {
        Path out = folder.resolve("out");
        Outcome outcome = Outcome.of(tiny("compare", "--quantizers", "fp32,bf16", "--out", out.toString()));
        assertEquals(0, outcome.status(), outcome.err());
        List<String> lines = outcome.out().lines().toList();
        assertTrue(lines.getFirst().startsWith("quantizer"), outcome.out());
        assertTrue(lines.get(1).startsWith("fp32") && lines.get(2).startsWith("bf16"), outcome.out());
        assertTrue(outcome.out().contains("Report: " + out.resolve("report.html")));
        assertTrue(outcome.err().contains("step 4 of 4 (100 %)"), outcome.err());
        for (String run : List.of("fp32", "bf16")) {
            List<String> metrics = Files.readAllLines(out.resolve(run).resolve("metrics.csv"));
            assertEquals(5, metrics.size(), "a header and four steps");
            assertEquals(
                    10, metrics.get(4).split(",").length, "the last line has a validation loss: " + metrics.get(4));
            assertTrue(Files.readString(out.resolve(run).resolve("run.json")).contains("\"completed\""));
        }
        String report = Files.readString(out.resolve("report.html"));
        assertTrue(report.contains("uPlot=function"), "the chart code is in the page");
        assertFalse(report.contains("{{"), "every slot is filled");
        assertTrue(report.contains("\"losses\":["));
        assertTrue(report.contains("all products ran as asked for"));
    }

    @Test
    void tableTellsOnlyOptionsThatAreNotTheDefault() {
        Outcome outcome = Outcome.of(tiny(
                "compare",
                "--quantizers",
                "fp32",
                "--quantizer",
                "int8-block:block=128",
                "--quantizer",
                "int8-block:block=32",
                "--out",
                folder + "/out"));
        assertEquals(0, outcome.status(), outcome.err());
        List<String> lines = outcome.out().lines().toList();
        assertTrue(lines.get(2).startsWith("int8-block  "), outcome.out());
        assertTrue(lines.get(3).startsWith("int8-block:block=32  "), outcome.out());
        assertTrue(outcome.err().contains("int8-block on backend reference"), outcome.err());
        assertTrue(Files.exists(folder.resolve("out/int8-block_block_32/run.json")));
    }

    @Test
    void jsonHasTheFieldsThatScriptsRead() {
        Outcome outcome = Outcome.of(tiny(
                "compare",
                "--quantizers",
                "fp32",
                "--quantizer",
                "bf16",
                "--json",
                "--out",
                folder + "/out",
                "--quiet"));
        assertEquals(0, outcome.status(), outcome.err());
        assertEquals("", outcome.err());
        JsonNode runs = outcome.json().get("runs");
        assertEquals(2, runs.size());
        for (JsonNode run : runs) {
            assertEquals("completed", run.get("status").asText());
            assertEquals("reference", run.get("backend").asText());
            assertEquals(4, run.get("steps").asInt());
            for (String field : List.of(
                    "finalTrainLoss",
                    "finalValidationLoss",
                    "tokensPerSecond",
                    "seconds",
                    "peakBytes",
                    "savedActivationBytes")) {
                assertTrue(run.get(field).asDouble() > 0, field + " of " + run);
            }
        }
    }

    @Test
    void folderOfAnotherProcessIsLeftAlone() throws IOException {
        Path out = Files.createDirectory(folder.resolve("out"));
        Path record = Files.writeString(out.resolve("compare.json"), "{}");
        try (FolderLock _ = FolderLock.take(out)) {
            Outcome outcome = Outcome.of(tiny("compare", "--quantizers", "fp32", "--out", out.toString()));
            assertEquals(1, outcome.status());
            assertTrue(outcome.err().contains(out + " is in use: process "), outcome.err());
            assertEquals("{}", Files.readString(record));
        }
    }

    @Test
    void sameSeedGivesTheSameLosses() {
        String[] command =
                tiny("train", "--quantizer", "bf16", "--json", "--quiet", "--out", folder + "/out", "--seed", "7");
        JsonNode first = Outcome.of(command).json();
        JsonNode second = Outcome.of(command).json();
        assertEquals(first.get("finalTrainLoss"), second.get("finalTrainLoss"));
        assertEquals(first.get("finalValidationLoss"), second.get("finalValidationLoss"));
    }

    /** A learning rate of 1e30 makes the weights overflow: each run stops, its row stays, and the next one goes on. */
    @Test
    void failedRunsKeepTheirRows() throws IOException {
        Path out = folder.resolve("out");
        Outcome outcome = Outcome.of(tiny(
                "compare",
                "--quantizers",
                "fp32,bf16",
                "--quiet",
                "--out",
                out.toString(),
                "--set",
                "train.learningRate=1e30"));
        assertEquals(1, outcome.status(), outcome.out());
        assertEquals(1, outcome.err().lines().count(), outcome.err());
        assertTrue(outcome.err().startsWith("nibble: 2 of 2 runs failed: fp32 "), outcome.err());
        assertTrue(
                outcome.out()
                                .lines()
                                .filter(line -> line.contains("stopped after"))
                                .count()
                        == 2,
                outcome.out());
        assertTrue(Files.readString(out.resolve("report.html")).contains("stopped after"));
    }

    @Test
    void interruptionSavesWhatThereIs() throws IOException {
        Interruption interruption = new Interruption();
        Path out = folder.resolve("out");
        interruption.request();
        Outcome outcome =
                Outcome.of(interruption, tiny("train", "--quantizer", "bf16", "--json", "--out", out.toString()));
        assertEquals(130, outcome.status(), outcome.err());
        assertEquals("interrupted", outcome.json().at("/error/kind").asText());
        assertEquals(1, outcome.json().get("steps").asInt(), "it stops after the step that it is in");
        assertEquals(2, Files.readAllLines(out.resolve("metrics.csv")).size());
        assertTrue(Files.exists(out.resolve("report.html")));
    }

    @Test
    void trainWritesItsFilesAndMayBeRepeated() {
        Path out = folder.resolve("deep/out");
        String[] command = tiny("train", "--quantizer", "fp32", "--out", out.toString(), "--set", "layers.head=bf16");
        Outcome outcome = Outcome.of(command);
        assertEquals(0, outcome.status(), outcome.err());
        for (String name : List.of("run.json", "metrics.csv", "report.html")) {
            assertTrue(Files.isRegularFile(out.resolve(name)), name);
        }
        assertEquals(0, Outcome.of(command).status(), "a folder of the same command is used again");
        Outcome other = Outcome.of(tiny("compare", "--quantizers", "fp32", "--out", out.toString()));
        assertEquals(2, other.status(), "the folder of another command is not");
    }
}
