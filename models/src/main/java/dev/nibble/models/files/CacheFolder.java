package dev.nibble.models.files;

import dev.nibble.error.NibbleException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;

/** Where files go that can be made again: {@code nibble} below {@code $XDG_CACHE_HOME}, or below {@code .cache} in the home folder. */
public final class CacheFolder {
    private CacheFolder() {}

    /**
     * {@return a folder there, made if it does not exist}
     *
     * @param name what its files are
     * @throws NibbleException if it cannot be made
     */
    public static Path of(String name) {
        Path folder = Optional.ofNullable(System.getenv("XDG_CACHE_HOME"))
                .filter(path -> !path.isBlank())
                .map(Path::of)
                .orElseGet(() -> Path.of(System.getProperty("user.home"), ".cache"))
                .resolve("nibble")
                .resolve(name);
        try {
            return Files.createDirectories(folder);
        } catch (IOException e) {
            throw new NibbleException("folder %s cannot be made: %s".formatted(folder, IoReason.of(e)), e);
        }
    }
}
