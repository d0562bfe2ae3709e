package dev.nibble.models.files;

import dev.nibble.error.NibbleException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Optional;

/**
 * Makes one process the only one that trains into a folder: a file in it that the process holds a lock of. The lock ends with the process,
 * however that ends; a file that is left behind is taken over.
 */
public final class FolderLock implements AutoCloseable {
    /** Name of the file. */
    static final String NAME = ".nibble.lock";

    private static final int ATTEMPTS = 100; // each needs another process that ends at just that moment

    private final Path file;
    private final Optional<FileChannel> channel;

    private FolderLock(Path file, Optional<FileChannel> channel) {
        this.file = file;
        this.channel = channel;
    }

    /**
     * {@return the lock, held until it is closed} On a file system that has no locks, or where the file cannot be made, nothing is held:
     * whoever writes there says what is wrong.
     *
     * @param folder that exists
     * @throws NibbleException if another process, or another run of this one, holds it
     */
    public static FolderLock take(Path folder) {
        Path file = folder.resolve(NAME);
        try {
            for (int i = 0; i < ATTEMPTS; i++) {
                Optional<FileChannel> channel = open(folder, file);
                if (channel.isPresent()) {
                    return new FolderLock(file, channel);
                }
            }
            throw inUse(folder, file);
        } catch (IOException | UnsupportedOperationException _) {
            return new FolderLock(file, Optional.empty());
        }
    }

    /** {@return the file, locked; empty if it was deleted by its last owner after it was opened} */
    private static Optional<FileChannel> open(Path folder, Path file) throws IOException {
        FileChannel channel =
                FileChannel.open(file, StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE);
        boolean kept = false;
        try {
            FileLock lock = channel.tryLock();
            if (lock == null) {
                throw inUse(folder, file);
            }
            String owner = ProcessHandle.current().pid() + " " + System.nanoTime();
            channel.truncate(0);
            channel.write(ByteBuffer.wrap(owner.getBytes(StandardCharsets.US_ASCII)), 0);
            kept = text(file).equals(owner); // else another file has the name by now
            return kept ? Optional.of(channel) : Optional.empty();
        } catch (OverlappingFileLockException _) {
            throw inUse(folder, file);
        } finally {
            if (!kept) {
                channel.close();
            }
        }
    }

    private static String text(Path file) throws IOException {
        try {
            return Files.readString(file, StandardCharsets.US_ASCII);
        } catch (NoSuchFileException _) {
            return "";
        }
    }

    private static NibbleException inUse(Path folder, Path file) {
        String owner;
        try {
            owner = text(file).split(" ", 2)[0];
        } catch (IOException _) {
            owner = ""; // some systems do not let others read what is locked
        }
        String who = owner.matches("\\d+") ? "process " + owner : "another process";
        return new NibbleException(
                "%s is in use: %s trains into it; wait until it ends, or name another folder".formatted(folder, who));
    }

    /** Gives the lock up, and deletes its file. */
    @Override
    public void close() {
        channel.filter(FileChannel::isOpen).ifPresent(held -> {
            try (held) {
                Files.deleteIfExists(file); // before others can lock it
            } catch (IOException _) {
                // it stays, without an owner
            }
        });
    }
}
