package dev.nibble.models.files;

import dev.nibble.error.NibbleException;
import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.channels.Channels;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.AtomicMoveNotSupportedException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;

/**
 * Writes a file under a temporary name in its folder, has the device store it, and moves it: a reader sees the old file or
 * the whole new one, after a power failure too.
 */
public final class AtomicFile {
    /** What a file holds. */
    @FunctionalInterface
    public interface Content {
        /**
         * Writes to a buffered stream that the caller closes.
         *
         * @throws IOException if the stream refuses it
         */
        void writeTo(OutputStream stream) throws IOException;
    }

    private static final String TEMPORARY = ".tmp";
    private static final int BUFFER = 1 << 16; // bytes

    private AtomicFile() {}

    /** {@return whether this is what a process that was killed while it wrote a file has left} */
    static boolean isTemporary(Path file) {
        String name = file.getFileName().toString();
        return name.startsWith(".") && name.endsWith(TEMPORARY);
    }

    /**
     * Fails early: before an hour of work, not after.
     *
     * @throws NibbleException if the file could not be written
     */
    public static void requireWritable(Path file) {
        Path folder = folder(file);
        String problem = "";
        if (!Files.exists(folder)) {
            problem = "folder " + folder + " does not exist";
        } else if (!Files.isDirectory(folder)) {
            problem = folder + " is not a folder";
        } else if (!Files.isWritable(folder)) {
            problem = "folder " + folder + " is not writable";
        } else if (Files.isDirectory(file)) {
            problem = "it is a folder";
        }
        if (!problem.isEmpty()) {
            throw new NibbleException(file + " cannot be written: " + problem);
        }
    }

    /**
     * Writes the file. A link is followed, and a device is written to as it is: a move would replace either.
     *
     * @throws NibbleException if that fails; no partial file is left
     */
    public static void write(Path file, Content content) {
        requireWritable(file);
        try {
            if (Files.exists(file) && !Files.isRegularFile(file)) {
                writeTo(file, content);
            } else {
                writeAndMove(Files.exists(file) ? file.toRealPath() : file, content);
            }
        } catch (IOException e) {
            throw new NibbleException(file + " cannot be written: " + IoReason.of(e), e);
        }
    }

    /**
     * Writes text as UTF-8.
     *
     * @throws NibbleException if that fails; no partial file is left
     */
    public static void write(Path file, String text) {
        write(file, stream -> stream.write(text.getBytes(StandardCharsets.UTF_8)));
    }

    private static void writeAndMove(Path file, Content content) throws IOException {
        Path temporary = folder(file)
                .resolve(
                        "." + file.getFileName() + "." + ProcessHandle.current().pid() + TEMPORARY);
        try {
            writeDurably(temporary, content);
            move(temporary, file);
        } catch (IOException e) {
            delete(temporary);
            throw e;
        }
    }

    private static void writeTo(Path file, Content content) throws IOException {
        try (OutputStream stream = new BufferedOutputStream(Files.newOutputStream(file))) {
            content.writeTo(stream);
        }
    }

    /**
     * Writes a new file and waits until the device has it.
     *
     * @throws IOException if that fails; what is there then is not whole
     */
    public static void writeDurably(Path file, Content content) throws IOException {
        try (FileChannel channel = FileChannel.open(
                        file,
                        StandardOpenOption.CREATE,
                        StandardOpenOption.TRUNCATE_EXISTING,
                        StandardOpenOption.WRITE);
                OutputStream stream = new BufferedOutputStream(Channels.newOutputStream(channel), BUFFER)) {
            content.writeTo(stream);
            stream.flush();
            channel.force(true);
        }
    }

    private static Path folder(Path file) {
        Path parent = file.toAbsolutePath().getParent();
        return parent == null ? file.toAbsolutePath() : parent;
    }

    private static void move(Path from, Path to) throws IOException {
        try {
            Files.move(from, to, StandardCopyOption.ATOMIC_MOVE);
        } catch (AtomicMoveNotSupportedException _) {
            Files.move(from, to, StandardCopyOption.REPLACE_EXISTING);
        }
    }

    private static void delete(Path file) {
        try {
            Files.deleteIfExists(file);
        } catch (IOException _) {
            // the first failure is the one to report; a full disk often refuses this too
        }
    }
}
