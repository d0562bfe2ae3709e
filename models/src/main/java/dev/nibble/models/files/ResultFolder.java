package dev.nibble.models.files;

import dev.nibble.error.NibbleException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.stream.Stream;

/** Makes sure, before any work is done, that results can be written and that they replace nobody else's files. */
public final class ResultFolder {
    private ResultFolder() {}

    /**
     * Makes the folder if it does not exist. One that the same program filled earlier is used again; its files are
     * replaced.
     *
     * @param label how messages call the folder, as in {@code --out}
     * @param folder where it is
     * @param program whose results go there, as in {@code nibble train}
     * @param marker name of the file by which a folder of that program is known
     * @throws IllegalArgumentException if it holds something else
     * @throws NibbleException if it is a file, or cannot be made, listed or written into
     */
    public static void prepare(String label, Path folder, String program, String marker) {
        String name = label + " " + folder;
        if (Files.exists(folder, LinkOption.NOFOLLOW_LINKS) && !Files.isDirectory(folder)) {
            throw new NibbleException(name + " is a file, but must be a folder");
        }
        try {
            Files.createDirectories(folder);
            if (!isEmpty(folder) && !Files.isRegularFile(folder.resolve(marker))) {
                throw new IllegalArgumentException(name + " is not empty and holds no results of " + program + " ("
                        + marker + "); name an empty or new folder");
            }
        } catch (IOException e) {
            throw new NibbleException(name + " cannot be used: " + IoReason.of(e), e);
        }
        if (!Files.isWritable(folder)) {
            throw new NibbleException(name + " is not writable");
        }
    }

    /** {@return whether nothing is there, but for what a program that was killed while it wrote has left} */
    private static boolean isEmpty(Path folder) throws IOException {
        try (Stream<Path> entries = Files.list(folder)) {
            return entries.allMatch(entry -> AtomicFile.isTemporary(entry) || entry.endsWith(FolderLock.NAME));
        }
    }
}
