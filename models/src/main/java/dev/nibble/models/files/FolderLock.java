package dev.nibble.models.files;

import dev.nibble.error.NibbleException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * Makes one process the only one that trains into a folder: a file in it that the process holds a lock of. The lock ends with the process,
 * however that ends; a file that is left behind is taken over.
 */
public final class FolderLock implements AutoCloseable {
    /** Name of the file. */
    static final String NAME = ".nibble.lock";

    private static final int ATTEMPTS = 100; // each needs another process that ends at just that moment

    // POSIX takes all locks of a file from a process that closes any descriptor of it: what is held here is not opened
    // again
    private static final Set<Path> HELD = ConcurrentHashMap.newKeySet();

    private final Path folder;
    private final Path file;
    private final Optional<FileChannel> channel;
    private final AtomicBoolean held = new AtomicBoolean(true);

    private FolderLock(Path folder, Optional<FileChannel> channel) {
        this.folder = folder;
        this.file = folder.resolve(NAME);
        this.channel = channel;
    }

    /**
     * {@return the lock, held until it is closed} On a file system that has no locks, or where the file cannot be made, nothing is held
     * against other processes: whoever writes there says what is wrong.
     *
     * @param folder that exists
     * @throws NibbleException if another process, or another run of this one, holds it
     */
    public static FolderLock take(Path folder) {
        Path real;
        try {
            real = folder.toRealPath();
        } catch (IOException _) {
            real = folder.toAbsolutePath();
        }
        if (!HELD.add(real)) {
            throw inUse(folder, "process " + ProcessHandle.current().pid());
        }
        boolean taken = false;
        try {
            FolderLock lock = new FolderLock(real, lock(folder, real.resolve(NAME)));
            taken = true;
            return lock;
        } finally {
            if (!taken) {
                HELD.remove(real);
            }
        }
    }

    private static Optional<FileChannel> lock(Path folder, Path file) {
        try {
            for (int i = 0; i < ATTEMPTS; i++) {
                Optional<FileChannel> channel = open(folder, file);
                if (channel.isPresent()) {
                    return channel;
                }
            }
            throw inUse(folder, owner(file));
        } catch (IOException | UnsupportedOperationException _) {
            return Optional.empty();
        }
    }

    /**
     * {@return the file, locked; empty if its last owner deleted it after it was opened} Whether the name still belongs to the file is
     * asked of its attributes, since a look into it would open it a second time.
     */
    private static Optional<FileChannel> open(Path folder, Path file) throws IOException {
        try {
            Files.createFile(file);
        } catch (FileAlreadyExistsException _) {
            // left behind, or in use
        }
        FileChannel channel;
        Optional<Object> key;
        try {
            key = key(file);
            channel = FileChannel.open(file, StandardOpenOption.WRITE);
        } catch (NoSuchFileException _) {
            return Optional.empty();
        }
        boolean kept = false;
        try {
            FileLock lock = channel.tryLock();
            if (lock == null) {
                throw inUse(folder, owner(file));
            }
            kept = key(file).equals(key);
            if (kept) {
                channel.truncate(0);
                channel.write(ByteBuffer.wrap(
                        Long.toString(ProcessHandle.current().pid()).getBytes(StandardCharsets.US_ASCII)));
            }
            return kept ? Optional.of(channel) : Optional.empty();
        } catch (NoSuchFileException _) {
            return Optional.empty();
        } finally {
            if (!kept) {
                channel.close();
            }
        }
    }

    /** {@return what tells files apart that have had one name; empty on systems that have no such thing} */
    private static Optional<Object> key(Path file) throws IOException {
        return Optional.ofNullable(
                Files.readAttributes(file, BasicFileAttributes.class).fileKey());
    }

    /** {@return who holds a file that this process does not hold} */
    private static String owner(Path file) {
        try {
            String pid = Files.readString(file, StandardCharsets.US_ASCII).strip();
            return pid.matches("\\d+") ? "process " + pid : "another process";
        } catch (IOException _) {
            return "another process"; // some systems do not let others read what is locked
        }
    }

    private static NibbleException inUse(Path folder, String owner) {
        return new NibbleException(
                "%s is in use: %s trains into it; wait until it ends, or name another folder".formatted(folder, owner));
    }

    /** Gives the lock up, and deletes its file. */
    @Override
    public void close() {
        if (!held.getAndSet(false)) {
            return;
        }
        channel.ifPresent(locked -> {
            try (locked) {
                Files.deleteIfExists(file); // before others can lock it
            } catch (IOException _) {
                // it stays, without an owner
            }
        });
        HELD.remove(folder);
    }
}
