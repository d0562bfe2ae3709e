package dev.nibble.backend.cpu;

import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.Arena;
import java.lang.foreign.SymbolLookup;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/**
 * Loads the native library that the module carries. Whatever is wrong with it or with the machine, the portable path
 * remains, and the reason is kept.
 */
final class NativeLibrary {
    private static final String NAME = "libnibblecpu.so";
    private static final String CHECKSUM = NAME + ".sha256";

    private NativeLibrary() {}

    /**
     * What came of it.
     *
     * @param kernels the functions at the best level of this machine that computes what it should
     * @param reason why there are none, or why not of a better level; else empty
     */
    record Outcome(Optional<NativeKernels> kernels, String reason) {
        static Outcome none(String reason) {
            return new Outcome(Optional.empty(), reason);
        }
    }

    /** Loads once, when it is first asked for. */
    private static final class Loaded {
        static final Outcome OUTCOME = load();
    }

    /** {@return what came of loading, once for the process} */
    static Outcome outcome() {
        return Loaded.OUTCOME;
    }

    private static Outcome load() {
        String platform = platform(System.getProperty("os.name"), System.getProperty("os.arch"));
        if (!NativeLibrary.class.getModule().isNativeAccessEnabled()) {
            String module = NativeLibrary.class.getModule().isNamed()
                    ? NativeLibrary.class.getModule().getName()
                    : "ALL-UNNAMED";
            return Outcome.none("native access is off; start java with --enable-native-access=" + module);
        }
        try (InputStream library = resource(platform, NAME);
                InputStream checksum = resource(platform, CHECKSUM)) {
            return load(
                    platform,
                    library == null ? new byte[0] : library.readAllBytes(),
                    checksum == null ? "" : new String(checksum.readAllBytes(), StandardCharsets.US_ASCII),
                    Path.of(System.getProperty("java.io.tmpdir")));
        } catch (IOException e) {
            return Outcome.none("the native library cannot be read: " + e);
        }
    }

    private static InputStream resource(String platform, String name) {
        return NativeLibrary.class.getResourceAsStream("native/" + platform + "/" + name);
    }

    /** {@return the name of a platform's folder} */
    static String platform(String system, String processor) {
        String arch = processor.equals("amd64") ? "x86_64" : processor;
        return system.toLowerCase(Locale.ROOT).split(" ", 2)[0] + "-" + arch;
    }

    /**
     * Checks the library, writes it to a new folder that nobody else may read, checks what was written, and binds it.
     *
     * @param library its bytes; none if there is none for the platform
     * @param checksum hexadecimal SHA-256 of them, and maybe more words
     * @param temporary where the folder is made; it is removed again
     */
    static Outcome load(String platform, byte[] library, String checksum, Path temporary) {
        if (library.length == 0) {
            return Outcome.none("no native library for " + platform + " is in this build (it is made where gcc is)");
        }
        String expected = checksum.strip().split("\\s+", 2)[0];
        if (!expected.equals(sha256(library))) {
            return Outcome.none(
                    "the native library is damaged: its SHA-256 is " + sha256(library) + ", but must be " + expected);
        }
        try {
            Path folder = Files.createTempDirectory(
                    temporary,
                    "nibble-cpu-",
                    PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
            Path file = folder.resolve(NAME);
            try {
                Files.write(file, library);
                if (!expected.equals(sha256(Files.readAllBytes(file)))) {
                    return Outcome.none("the native library was damaged while it was written to " + temporary);
                }
                return bind(file);
            } finally {
                Files.deleteIfExists(file); // once it is mapped, it needs no name
                Files.deleteIfExists(folder);
            }
        } catch (IOException | UnsupportedOperationException e) {
            return Outcome.none("the native library cannot be written to " + temporary + ": " + e);
        }
    }

    @SuppressWarnings("restricted") // the module has native access, or this is not reached
    private static Outcome bind(Path file) {
        try {
            NativeKernels kernels = NativeKernels.bind(SymbolLookup.libraryLookup(file, Arena.global()));
            if (kernels.version() != NativeKernels.VERSION) {
                return Outcome.none("the native library has version " + kernels.version() + ", but must have "
                        + NativeKernels.VERSION);
            }
            return best(kernels, kernels.levels());
        } catch (IllegalArgumentException | IllegalCallerException | UnsatisfiedLinkError e) {
            return Outcome.none("the native library cannot be linked: " + e);
        } catch (java.util.NoSuchElementException e) {
            return Outcome.none("the native library lacks a function: " + e);
        }
    }

    /** {@return the best level of the machine that passes its test} */
    static Outcome best(NativeKernels kernels, long levels) {
        String failed = "";
        for (NativeKernels.Level level : List.of(NativeKernels.Level.values()).reversed()) {
            if ((levels & level.bit) != 0) {
                Optional<String> failure = NativeCheck.failure(kernels.at(level));
                if (failure.isEmpty()) {
                    return new Outcome(Optional.of(kernels.at(level)), failed);
                }
                failed = level.label + " " + failure.get() + " here";
            }
        }
        return Outcome.none(
                failed.isEmpty()
                        ? "this processor has none of "
                                + Arrays.stream(NativeKernels.Level.values())
                                        .map(level -> level.label)
                                        .toList()
                        : failed);
    }

    private static String sha256(byte[] bytes) {
        try {
            return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes));
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java has SHA-256", e);
        }
    }
}
