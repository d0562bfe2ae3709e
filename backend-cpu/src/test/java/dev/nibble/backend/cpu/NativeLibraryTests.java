package dev.nibble.backend.cpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.Arena;
import java.lang.foreign.SymbolLookup;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.HexFormat;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Whatever is wrong, the reason is told, and nothing is left behind. */
class NativeLibraryTests {
    private static final String PLATFORM = "linux-x86_64";
    private static final byte[] NO_LIBRARY = "this is no library".getBytes(StandardCharsets.US_ASCII);

    @TempDir
    Path folder;

    private static byte[] resource(String name) throws IOException {
        try (InputStream in = NativeLibrary.class.getResourceAsStream("native/" + PLATFORM + "/" + name)) {
            return in == null ? new byte[0] : in.readAllBytes();
        }
    }

    private static String checksum(byte[] bytes) throws Exception {
        return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes));
    }

    private static void assertReason(String part, NativeLibrary.Outcome outcome) {
        assertTrue(outcome.kernels().isEmpty());
        assertTrue(outcome.reason().contains(part), outcome.reason());
    }

    private long files() throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            return files.count();
        }
    }

    @Test
    void theLibraryOfThisBuildLoadsAndLeavesNoFile() throws Exception {
        byte[] library = resource("libnibblecpu.so");
        assumeTrue(library.length > 0, "this build has no native library");
        String noted = new String(resource("libnibblecpu.so.sha256"), StandardCharsets.US_ASCII);
        var outcome = NativeLibrary.load(PLATFORM, library, noted, folder);
        boolean known = Files.readString(Path.of("/proc/cpuinfo")).contains(" avx2 ");
        assertEquals(known, outcome.kernels().isPresent(), outcome.reason());
        assertEquals(0, files());
    }

    @Test
    void everyLevelOfThisMachinePassesItsTest() {
        for (NativeKernels kernels : AllPaths.kernels()) {
            assertEquals(Optional.empty(), NativeCheck.failure(kernels), kernels.level().label);
            assertEquals(
                    kernels.level(),
                    NativeLibrary.best(kernels, kernels.level().bit)
                            .kernels()
                            .orElseThrow()
                            .level());
            assertReason("this processor has none of", NativeLibrary.best(kernels, 0));
        }
    }

    /** Functions that do nothing stand for wrong ones. */
    @ParameterizedTest
    @CsvSource({
        "nibble_multiply, computes wrong sums",
        "nibble_multiply_once, computes wrong sums of floats",
        "nibble_measure, makes wrong codes",
        "nibble_quantize, makes wrong codes",
        "nibble_residual, makes wrong codes",
        "nibble_largest, makes wrong codes",
        "nibble_squares, 'computes wrong attention, activations or context'",
        "nibble_attention, 'computes wrong attention, activations or context'",
        "nibble_attention_backward, 'computes wrong attention, activations or context'",
        "nibble_swiglu, 'computes wrong attention, activations or context'",
        "nibble_swiglu_backward, 'computes wrong attention, activations or context'",
        "nibble_group_sizes, 'computes wrong attention, activations or context'",
        "nibble_encode_10, 'computes wrong attention, activations or context'",
        "nibble_encode_bf16, 'computes wrong attention, activations or context'",
        "nibble_decode_10, 'computes wrong attention, activations or context'",
        "nibble_decode_bf16, 'computes wrong attention, activations or context'"
    })
    @SuppressWarnings("restricted") // the tests have native access
    void aLibraryThatComputesSomethingElseIsRefused(String function, String reason) throws Exception {
        NativeKernels.Level level = NativeKernels.Level.VNNI;
        assumeTrue(
                AllPaths.kernels().stream().anyMatch(kernels -> kernels.level() == level),
                "this machine has no AVX-512");
        Path file = Files.write(folder.resolve("library.so"), resource("libnibblecpu.so"));
        try (Arena arena = Arena.ofShared()) {
            SymbolLookup library = SymbolLookup.libraryLookup(file, arena);
            NativeKernels wrong =
                    NativeKernels.bind(name -> library.find(name.equals(function) ? "nibble_version" : name));
            assertReason(level.label + " " + reason + " here", NativeLibrary.best(wrong, level.bit));
        }
    }

    @Test
    void damageIsSeenBeforeAnythingIsLoaded() throws Exception {
        byte[] library = resource("libnibblecpu.so");
        assumeTrue(library.length > 0, "this build has no native library");
        String right = checksum(library);
        library[library.length / 2] ^= 1;
        assertNotEquals(right, checksum(library));
        assertReason("is damaged", NativeLibrary.load(PLATFORM, library, right, folder));
        assertReason("is damaged", NativeLibrary.load(PLATFORM, library, "", folder));
        assertEquals(0, files());
    }

    @Test
    void whatIsNoLibraryIsNotLinked() throws Exception {
        var outcome = NativeLibrary.load(PLATFORM, NO_LIBRARY, checksum(NO_LIBRARY), folder);
        assertReason("cannot be linked", outcome);
        assertEquals(0, files());
    }

    @Test
    void aFolderThatCannotBeWrittenIsNamed() throws Exception {
        Path file = Files.createFile(folder.resolve("file")); // in which nobody can make a folder
        var outcome = NativeLibrary.load(PLATFORM, NO_LIBRARY, checksum(NO_LIBRARY), file);
        assertReason("cannot be written to " + file, outcome);
    }

    @Test
    void anotherPlatformIsNamed() throws Exception {
        assertEquals("linux-x86_64", NativeLibrary.platform("Linux", "amd64"));
        assertEquals("windows-x86_64", NativeLibrary.platform("Windows 11", "amd64"));
        assertEquals("mac-aarch64", NativeLibrary.platform("Mac OS X", "aarch64"));
        assertReason("mac-aarch64", NativeLibrary.load("mac-aarch64", new byte[0], "", folder));
    }
}
