package dev.nibble.backend.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.error.NotAvailableException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class KernelImagesTests {
    private static final String DEVICE_LINE = "- device: ";
    private static final List<String> ARCHITECTURES = List.of("sm_90a", "sm_89", "sm_80", "compute_89", "compute_80");
    private static final long MOST_BYTES = 4 << 20; // of the kernels in the repository

    private static Path module() {
        return Path.of(System.getProperty("basedir", "")).toAbsolutePath();
    }

    private static Path sources() {
        return module().resolve("src/main/cuda");
    }

    private static List<Path> files(Path folder, String... ends) throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            return files.filter(file -> Stream.of(ends).anyMatch(file.toString()::endsWith))
                    .sorted()
                    .toList();
        }
    }

    private static String sha256(byte[] bytes) throws NoSuchAlgorithmException {
        return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(bytes));
    }

    /** As {@code kernels.sh hash} computes it: of the lines that sha256sum prints. */
    private static String hash() throws IOException, NoSuchAlgorithmException {
        StringBuilder lines = new StringBuilder();
        for (Path file : files(sources(), ".cu", ".cuh")) {
            lines.append(sha256(Files.readAllBytes(file)))
                    .append("  ")
                    .append(file.getFileName())
                    .append('\n');
        }
        return sha256(lines.toString().getBytes(StandardCharsets.UTF_8));
    }

    @Test
    void recordedKernelsAreThoseOfTheSources() throws IOException, NoSuchAlgorithmException {
        String recorded = Files.readString(module().resolve("src/main/kernels/sources.sha256"));
        assertEquals(hash(), recorded.strip(), "the CUDA sources have changed; run backend-cuda/kernels.sh record");
    }

    /** {@return pages of results below a folder whose kernels had other sources} */
    private static List<String> outdated(Path results, String hash) throws IOException {
        List<String> outdated = new ArrayList<>();
        try (Stream<Path> pages = Files.walk(results, 2)) {
            for (Path page :
                    pages.filter(file -> file.toString().endsWith(".md")).toList()) {
                boolean other = Files.readAllLines(page).stream()
                        .filter(line -> line.contains(BenchmarkTable.HASH))
                        .anyMatch(line -> !line.endsWith(hash));
                if (other) {
                    outdated.add(page.getFileName().toString());
                }
            }
        }
        return outdated;
    }

    @Test
    void publishedFiguresAreThoseOfTheSources() throws IOException, NoSuchAlgorithmException {
        Path results = module().resolveSibling("bench").resolve("results");
        assertEquals(List.of(), outdated(results, hash()), "run bench/gpu/run.sh --only benchmarks, and replace them");
    }

    @Test
    void figuresOfOtherSourcesAreFound(@TempDir Path results) throws IOException {
        BenchmarkTable table = new BenchmarkTable();
        table.fact(BenchmarkTable.HASH, "beef");
        Path page = Files.createDirectory(results.resolve("device")).resolve("benchmarks.md");
        Files.writeString(page, table.markdown());
        assertEquals(List.of(), outdated(results, "beef"));
        assertEquals(List.of("benchmarks.md"), outdated(results, "cafe"));
    }

    /** {@return pages in folders that are not named for the device that they tell of} */
    private static List<String> strangers(Path results) throws IOException {
        List<String> strangers = new ArrayList<>();
        try (Stream<Path> pages = Files.walk(results, 2)) {
            for (Path page :
                    pages.filter(file -> file.toString().endsWith(".md")).toList()) {
                String folder =
                        page.resolveSibling(".").normalize().getFileName().toString();
                boolean other = Files.readAllLines(page).stream()
                        .filter(line -> line.startsWith(DEVICE_LINE))
                        .anyMatch(line -> !line.toLowerCase(Locale.ROOT).contains(folder));
                if (other) {
                    strangers.add(folder + '/' + page.getFileName());
                }
            }
        }
        return strangers;
    }

    @Test
    void devicesDoNotShareAFolder(@TempDir Path folder) throws IOException {
        assertEquals(List.of(), strangers(module().resolveSibling("bench").resolve("results")));
        BenchmarkTable table = new BenchmarkTable();
        table.fact("device", "NVIDIA H200, 580.1");
        for (String name : List.of("h100", "h200")) {
            Files.writeString(Files.createDirectory(folder.resolve(name)).resolve("benchmarks.md"), table.markdown());
        }
        assertEquals(List.of("h100/benchmarks.md"), strangers(folder));
    }

    @Test
    void recordedKernelsKeepTheRepositorySmall() throws IOException {
        long bytes = 0;
        try (Stream<Path> files = Files.walk(module().resolve("src/main/kernels"))) {
            for (Path file : files.filter(Files::isRegularFile).toList()) {
                bytes += Files.size(file);
            }
        }
        assertTrue(bytes > 0 && bytes < MOST_BYTES, bytes + " bytes of kernels, but at most " + MOST_BYTES);
    }

    @Test
    void everySourceIsCompiledForEveryArchitecture() throws IOException {
        List<String> present = KernelImages.present();
        assertEquals(ARCHITECTURES, present, "compiled with NIBBLE_CUDA_ARCHITECTURES?");
        for (Path file : files(sources(), ".cu")) {
            String name = file.getFileName().toString().replace(".cu", "");
            for (String architecture : present) {
                boolean hopper = architecture.equals("sm_90a") || !name.endsWith(KernelImages.HOPPER_ONLY);
                boolean ada = architecture.endsWith("_89") || !name.endsWith(KernelImages.FROM_ADA_ON);
                boolean wanted = hopper && ada;
                assertEquals(wanted, KernelImages.has(architecture, name), name + " for " + architecture);
            }
        }
    }

    @Test
    void aKernelThatIsMissingIsNamed() {
        NotAvailableException e =
                assertThrows(NotAvailableException.class, () -> KernelImages.image("compute_80", "nosuchfile"));
        assertTrue(e.getMessage().contains("nosuchfile") && e.getMessage().contains("compute_80"), e.getMessage());
        assertFalse(KernelImages.has("sm_10", "codec"));
    }

    @Test
    void textEndsWithAZeroByte() {
        byte[] ptx = KernelImages.image("compute_80", "codec");
        assertEquals(0, ptx[ptx.length - 1]);
        assertTrue(new String(ptx, StandardCharsets.US_ASCII).contains(".visible .entry codecEncode"));
    }
}
