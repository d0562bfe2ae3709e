package dev.nibble.models.files;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.error.NibbleException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class AtomicFileTests {
    @TempDir
    Path folder;

    private long entries() throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            return files.count();
        }
    }

    @Test
    void failureLeavesTheOldFileAndNothingElse() throws IOException {
        Path file = folder.resolve("a.txt");
        AtomicFile.write(file, "old");
        NibbleException thrown = assertThrows(
                NibbleException.class,
                () -> AtomicFile.write(file, stream -> {
                    stream.write(1);
                    throw new IOException("no space left");
                }));
        assertEquals(file + " cannot be written: no space left", thrown.getMessage());
        assertEquals("old", Files.readString(file));
        assertEquals(1, entries());
    }

    @Test
    void linkIsFollowed() throws IOException {
        Path target = folder.resolve("target.txt");
        Path link = folder.resolve("link.txt");
        AtomicFile.write(target, "old");
        Files.createSymbolicLink(link, target);
        AtomicFile.write(link, "new");
        assertTrue(Files.isSymbolicLink(link));
        assertEquals("new", Files.readString(target));
    }

    @Test
    void deviceIsWrittenToAndStaysOne() {
        Path full = Path.of("/dev/full");
        Assumptions.assumeTrue(Files.exists(full), "this system has no device that is always full");
        assertThrows(NibbleException.class, () -> AtomicFile.write(full, "text"));
        assertTrue(Files.exists(full) && !Files.isRegularFile(full));
    }
}
