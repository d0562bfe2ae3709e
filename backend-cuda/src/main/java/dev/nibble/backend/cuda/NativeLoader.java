package dev.nibble.backend.cuda;

import dev.nibble.error.NotAvailableException;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import jcuda.driver.JCudaDriver;

/**
 * Loads JCuda's native library from the jar that holds it, wherever that lies. JCuda itself looks among the resources of its own
 * module, which holds none, and otherwise in the folder {@code java.io.tmpdir} under a fixed name: so the library is
 * put there, into a folder of its own for as long as it takes to load.
 */
final class NativeLoader {
    private static final String FILE = "libJCudaDriver-12.6.0-linux-x86_64.so";
    private static final String FOLDER_PROPERTY = "java.io.tmpdir";
    private static boolean loaded;

    private NativeLoader() {}

    /** Loads the library once. */
    static synchronized void load() {
        if (loaded) {
            return;
        }
        try (InputStream in = ClassLoader.getSystemResourceAsStream("lib/" + FILE)) {
            if (in == null) {
                JCudaDriver.setExceptionsEnabled(false); // perhaps the library lies where the JVM looks
            } else {
                extractAndLoad(in);
            }
            loaded = true;
        } catch (IOException e) {
            throw new UncheckedIOException("JCuda's native library cannot be written to a temporary folder", e);
        } catch (UnsatisfiedLinkError e) {
            throw new NotAvailableException(
                    "backend cuda is not available: JCuda's native library cannot be loaded: " + e.getMessage());
        }
    }

    private static void extractAndLoad(InputStream in) throws IOException {
        String before = System.getProperty(FOLDER_PROPERTY);
        Path folder = Files.createTempDirectory("nibble-cuda"); // readable by this user alone
        Path file = folder.resolve(FILE);
        try {
            Files.copy(in, file);
            System.setProperty(FOLDER_PROPERTY, folder.toString());
            JCudaDriver.setExceptionsEnabled(false); // the class loads the library; calls return codes
        } finally {
            System.setProperty(FOLDER_PROPERTY, before);
            Files.deleteIfExists(file); // stays mapped
            Files.deleteIfExists(folder);
        }
    }
}
