package dev.nibble.models.files;

import java.io.IOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.NoSuchFileException;

/** Says why a file operation failed. The messages of the JDK are often no more than the path. */
public final class IoReason {
    private IoReason() {}

    /** {@return the reason in words, with the path that it is about, if it is about one} */
    public static String of(IOException e) {
        return switch (e) {
            case NoSuchFileException n -> n.getFile() + " does not exist";
            case AccessDeniedException a -> a.getFile() + " may not be accessed";
            case FileAlreadyExistsException f -> f.getFile() + " exists already";
            case FileSystemException f when f.getReason() != null -> f.getFile() + ": " + f.getReason();
            default -> String.valueOf(e.getMessage());
        };
    }
}
