package dev.nibble.models.files;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.error.NibbleException;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

class FolderLockTests {
    @TempDir
    Path folder;

    private Path file() {
        return folder.resolve(FolderLock.NAME);
    }

    @Test
    void secondRunOfAProcessIsRefusedUntilTheFirstEnds() {
        try (FolderLock _ = FolderLock.take(folder)) {
            NibbleException e = assertThrows(NibbleException.class, () -> FolderLock.take(folder));
            assertEquals(
                    folder + " is in use: process " + ProcessHandle.current().pid()
                            + " trains into it; wait until it ends, or name another folder",
                    e.getMessage());
        }
        assertFalse(Files.exists(file()), "nothing is left");
        FolderLock.take(folder).close();
    }

    @Test
    void whatIsLeftBehindIsTakenOver() throws IOException {
        Files.writeString(file(), "999999999");
        try (FolderLock _ = FolderLock.take(folder)) {
            assertThrows(NibbleException.class, () -> FolderLock.take(folder));
        }
        assertFalse(Files.exists(file()));
        Files.writeString(file(), "1");
        ResultFolder.prepare("--out", folder, "nibble train", "run.json"); // nobody's work
    }

    /** A lock that other processes do not see would pass all tests within one. */
    @Test
    @Timeout(60)
    void otherProcessesFindItLocked() throws IOException, InterruptedException {
        Path program = Files.writeString(folder.resolve("Taker.java"), """
            void main(String[] args) throws Exception {
                var channel = java.nio.channels.FileChannel.open(java.nio.file.Path.of(args[0]),
                        java.nio.file.StandardOpenOption.WRITE);
                System.out.println(channel.tryLock() == null ? "locked" : "free");
            }
            """);
        try (FolderLock _ = FolderLock.take(folder)) {
            assertThrows(NibbleException.class, () -> FolderLock.take(folder));
            Process taker = java(program);
            try (BufferedReader lines =
                    new BufferedReader(new InputStreamReader(taker.getInputStream(), StandardCharsets.UTF_8))) {
                assertEquals("locked", lines.readLine());
            }
            assertTrue(taker.waitFor(30, TimeUnit.SECONDS));
        }
    }

    private Process java(Path program) throws IOException {
        return new ProcessBuilder(
                        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                        program.toString(),
                        file().toString())
                .redirectError(ProcessBuilder.Redirect.DISCARD)
                .start();
    }

    @Test
    void closingTwiceLeavesTheNextOwnerAlone() {
        FolderLock first = FolderLock.take(folder);
        first.close();
        try (FolderLock _ = FolderLock.take(folder)) {
            first.close();
            assertTrue(Files.exists(file()));
            assertThrows(NibbleException.class, () -> FolderLock.take(folder));
        }
    }

    @Test
    void folderThatCannotHoldTheFileIsLeftToWhoWritesThere() throws IOException {
        Files.createDirectory(file());
        FolderLock.take(folder).close();
        assertTrue(Files.isDirectory(file()));
    }

    /** The other process is one of this JDK that locks the file as a run does, and is killed. */
    @Test
    @Timeout(60)
    void otherProcessIsNamedAndItsDeathFreesTheFolder() throws IOException, InterruptedException {
        Path program = Files.writeString(folder.resolve("Holder.java"), """
            void main(String[] args) throws Exception {
                var channel = java.nio.channels.FileChannel.open(java.nio.file.Path.of(args[0]),
                        java.nio.file.StandardOpenOption.CREATE, java.nio.file.StandardOpenOption.WRITE);
                channel.lock();
                channel.write(java.nio.ByteBuffer.wrap((ProcessHandle.current().pid() + "").getBytes()));
                System.out.println("locked");
                System.out.flush();
                Thread.sleep(60_000);
            }
            """);
        Process holder = java(program);
        try (BufferedReader lines =
                new BufferedReader(new InputStreamReader(holder.getInputStream(), StandardCharsets.UTF_8))) {
            assertEquals("locked", lines.readLine());
            NibbleException e = assertThrows(NibbleException.class, () -> FolderLock.take(folder));
            assertTrue(
                    e.getMessage().contains("is in use: process " + holder.pid() + " trains into it"), e.getMessage());
        } finally {
            holder.destroyForcibly();
        }
        assertTrue(holder.waitFor(30, TimeUnit.SECONDS));
        FolderLock.take(folder).close();
        assertFalse(Files.exists(file()));
    }
}
