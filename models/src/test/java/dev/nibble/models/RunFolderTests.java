package dev.nibble.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import dev.nibble.error.NibbleException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class RunFolderTests {
    private static RunResult result() {
        return new RunResult(
                "int8-block:block=128x128",
                "cpu",
                RunResult.Status.STOPPED,
                "it says \"why\"",
                2,
                1,
                Double.NaN,
                3.25,
                Double.POSITIVE_INFINITY,
                1.5,
                1000,
                10,
                List.of(
                        new StepRecord(0, 5.5, 0.5, 1.25, false, 100, 0.5),
                        new StepRecord(1, Double.NaN, 0.25, Double.NaN, true, 100, 1.5)),
                List.of(new Evaluation(2, 3.25)),
                List.of(),
                List.of(new LayerTelemetry("head", 0, 2, 0.5, Double.NaN, 0)),
                "model");
    }

    @Test
    void metricsHaveARowForEachStep(@TempDir Path folder) throws IOException {
        RunFolder.open(folder.resolve("new/deep")).write(RunConfig.of("text"), result());
        assertEquals(
                List.of(
                        "step,loss,learning_rate,gradient_norm,skipped,tokens_per_second,elapsed_seconds,validation_loss",
                        "0,5.5,0.5,1.25,0,100.0,0.500,",
                        "1,NaN,0.25,NaN,1,100.0,1.500,3.25"),
                Files.readAllLines(folder.resolve("new/deep/metrics.csv")));
    }

    @Test
    void jsonIsWellFormedAndHasNullForNumbersThatAreNotFinite(@TempDir Path folder) throws IOException {
        RunFolder.open(folder).write(RunConfig.of("text").with("model.layers", "2"), result());
        String text = Files.readString(folder.resolve("run.json"));
        try (JsonParser parser = new JsonFactory().createParser(text)) {
            while (parser.nextToken() != null) {
                parser.currentName();
            }
        }
        for (String part : List.of(
                "\"finalTrainLoss\" : null",
                "\"tokensPerSecond\" : null",
                "\"finalValidationLoss\" : 3.25",
                "\"threshold\" : null",
                "\"model.layers\" : \"2\"",
                "\"message\" : \"it says \\\"why\\\"\"",
                "\"status\" : \"STOPPED\"")) {
            assertTrue(text.contains(part), part + " is missing in " + text);
        }
    }

    @Test
    void noTemporaryFileStays(@TempDir Path folder) throws IOException {
        RunFolder.open(folder).write(RunConfig.of("text"), result());
        try (Stream<Path> files = Files.list(folder)) {
            assertEquals(
                    List.of("metrics.csv", "run.json"),
                    files.map(f -> f.getFileName().toString()).sorted().toList());
        }
    }

    @Test
    void ownFolderIsReusedAndAForeignOneRefused(@TempDir Path folder) throws IOException {
        RunFolder own = RunFolder.open(folder.resolve("own"));
        own.write(RunConfig.of("text"), result());
        own.child("int8-block").writeText("report.html", "<html/>");
        assertEquals(own.path(), RunFolder.open(own.path()).path());
        Path foreign = Files.createDirectory(folder.resolve("foreign"));
        Files.writeString(foreign.resolve("thesis.txt"), "mine");
        IllegalArgumentException e = assertThrows(IllegalArgumentException.class, () -> RunFolder.open(foreign));
        assertEquals(
                "output folder " + foreign
                        + " holds other files, but must be new, empty, or the folder of an earlier run",
                e.getMessage());
        assertThrows(IllegalArgumentException.class, () -> RunFolder.open(foreign.resolve("thesis.txt")));
    }

    @Test
    void folderOfARunThatDiedWhileWritingIsItsOwn(@TempDir Path folder) throws IOException {
        Files.writeString(folder.resolve(".metrics.csv.tmp"), "step");
        RunFolder.open(folder).write(RunConfig.of("text"), result());
        Files.delete(folder.resolve("run.json"));
        assertEquals(folder, RunFolder.open(folder).path());
        try (Stream<Path> files = Files.list(folder)) {
            assertEquals(1, files.count());
        }
    }

    @Test
    void folderThatCannotBeWrittenIsReported(@TempDir Path folder) throws IOException {
        Path locked = Files.createDirectory(folder.resolve("locked"));
        Files.setPosixFilePermissions(locked, PosixFilePermissions.fromString("r-xr-xr-x"));
        Assumptions.assumeFalse(Files.isWritable(locked), "this user may write anywhere");
        NibbleException e = assertThrows(NibbleException.class, () -> RunFolder.open(locked));
        assertTrue(e.getMessage().contains("cannot be written into: permission denied"), e.getMessage());
    }

    @Test
    void fileThatCannotBeWrittenIsReportedAndLeavesNothing(@TempDir Path folder) throws IOException {
        RunFolder open = RunFolder.open(folder.resolve("own"));
        Files.createDirectories(folder.resolve("own/run.json/in-the-way"));
        NibbleException e = assertThrows(NibbleException.class, () -> open.write(RunConfig.of("text"), result()));
        assertTrue(e.getMessage().contains("run.json cannot be written: "), e.getMessage());
        try (Stream<Path> files = Files.list(folder.resolve("own"))) {
            assertFalse(files.anyMatch(f -> f.toString().endsWith(".tmp")));
        }
    }
}
