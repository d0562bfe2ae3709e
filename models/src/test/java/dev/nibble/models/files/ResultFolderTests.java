package dev.nibble.models.files;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.error.NibbleException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ResultFolderTests {
    @TempDir
    Path folder;

    private static void prepare(Path path) {
        ResultFolder.prepare("--out", path, "nibble train", "run.json");
    }

    @Test
    void folderIsMadeAndItsOwnIsUsedAgain() {
        Path own = folder.resolve("new/deep");
        prepare(own);
        assertTrue(Files.isDirectory(own));
        prepare(own);
        AtomicFile.write(own.resolve("run.json"), "{}");
        AtomicFile.write(own.resolve("report.html"), "<html/>");
        prepare(own);
    }

    @Test
    void foreignFolderIsRefused() throws IOException {
        Files.writeString(folder.resolve("thesis.txt"), "mine");
        IllegalArgumentException e = assertThrows(IllegalArgumentException.class, () -> prepare(folder));
        assertEquals(
                "--out " + folder
                        + " is not empty and holds no results of nibble train (run.json); name an empty or new folder",
                e.getMessage());
    }

    @Test
    void fileAndFolderBelowAFileAreRefused() throws IOException {
        Path file = Files.writeString(folder.resolve("file"), "");
        NibbleException e = assertThrows(NibbleException.class, () -> prepare(file));
        assertEquals("--out " + file + " is a file, but must be a folder", e.getMessage());
        NibbleException below = assertThrows(NibbleException.class, () -> prepare(file.resolve("below")));
        assertTrue(below.getMessage().contains(" cannot be used: "), below.getMessage());
    }

    @Test
    void whatAKilledRunLeftIsNobodysWork() throws IOException {
        Files.writeString(folder.resolve(".run.json.123.tmp"), "{");
        prepare(folder);
        assertTrue(AtomicFile.isTemporary(folder.resolve(".run.json.123.tmp")));
    }

    @Test
    void folderThatCannotBeWrittenIsReported() throws IOException {
        Path locked = Files.createDirectory(folder.resolve("locked"));
        Files.setPosixFilePermissions(locked, PosixFilePermissions.fromString("r-xr-xr-x"));
        Assumptions.assumeFalse(Files.isWritable(locked), "this user may write anywhere");
        NibbleException e = assertThrows(NibbleException.class, () -> prepare(locked));
        assertEquals("--out " + locked + " is not writable", e.getMessage());
    }
}
