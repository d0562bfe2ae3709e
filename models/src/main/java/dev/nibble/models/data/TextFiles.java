package dev.nibble.models.data;

import dev.nibble.error.NibbleException;
import dev.nibble.models.files.IoReason;
import dev.nibble.models.files.Sha256;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileVisitOption;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Stream;

/**
 * The bytes of a text file, or of all files below a folder: those whose names do not begin with a dot, nor the names of the folders
 * that they are in, in the order of their paths. They are mapped, not read, so that they may be larger than memory.
 *
 * @param name of the file or folder, for messages
 * @param files not empty
 */
record TextFiles(String name, List<TextFile> files) {
    private static final int SLICE = 1 << 24; // bytes that a digest takes at once

    /**
     * A file.
     *
     * @param name for messages
     * @param bytes what it holds; readable as long as it is reachable
     */
    record TextFile(String name, MemorySegment bytes) {}

    /** Copies the list. */
    TextFiles {
        files = List.copyOf(files);
    }

    /**
     * {@return the file, or the files below a folder}
     *
     * @throws NibbleException if there is none, or one cannot be read
     */
    static TextFiles open(Path path) {
        try {
            if (!Files.isDirectory(path)) {
                return new TextFiles(path.toString(), List.of(new TextFile(path.toString(), map(path))));
            }
            List<TextFile> files = new ArrayList<>();
            for (Path file : below(path)) {
                files.add(new TextFile(file.toString(), map(file)));
            }
            if (files.isEmpty()) {
                throw new NibbleException("text folder " + path + " holds no file; check data.path");
            }
            return new TextFiles(path.toString(), files);
        } catch (NoSuchFileException e) {
            throw new NibbleException("text " + e.getFile() + " does not exist; check data.path", e);
        } catch (IOException e) {
            throw new NibbleException("text %s cannot be read: %s".formatted(path, IoReason.of(e)), e);
        }
    }

    /** Separators as on any system, so that the order is the same everywhere. */
    private static List<Path> below(Path folder) throws IOException {
        try (Stream<Path> all = Files.walk(folder, FileVisitOption.FOLLOW_LINKS)) {
            return all.filter(path -> !isHidden(folder.relativize(path)))
                    .filter(Files::isRegularFile)
                    .sorted(Comparator.comparing(
                            path -> folder.relativize(path).toString().replace('\\', '/')))
                    .toList();
        } catch (UncheckedIOException e) {
            throw e.getCause();
        }
    }

    private static boolean isHidden(Path path) {
        for (Path part : path) {
            if (part.toString().startsWith(".")) {
                return true;
            }
        }
        return false;
    }

    private static MemorySegment map(Path file) throws IOException {
        if (!Files.isRegularFile(file)) { // a pipe has no length
            return MemorySegment.ofArray(Files.readAllBytes(file));
        }
        try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
            return channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size(), Arena.ofAuto());
        }
    }

    /** {@return bytes of all files} */
    long length() {
        return files.stream().mapToLong(file -> file.bytes().byteSize()).sum();
    }

    /** {@return SHA-256 of all bytes, one file after the other} */
    String hash() {
        MessageDigest digest = Sha256.digest();
        files.forEach(file -> update(digest, file.bytes()));
        return Sha256.hex(digest);
    }

    /** {@return SHA-256 of the length and the bytes of each file} */
    byte[] hashOfEach() {
        MessageDigest digest = Sha256.digest();
        for (TextFile file : files) {
            digest.update((file.bytes().byteSize() + "\n").getBytes(StandardCharsets.US_ASCII));
            update(digest, file.bytes());
        }
        return digest.digest();
    }

    /** Adds bytes to a digest. */
    static void update(MessageDigest digest, MemorySegment bytes) {
        for (long from = 0; from < bytes.byteSize(); from += SLICE) {
            digest.update(bytes.asSlice(from, Math.min(SLICE, bytes.byteSize() - from))
                    .asByteBuffer());
        }
    }
}
