package dev.nibble.backend.cpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.nibble.spi.Backend;
import dev.nibble.spi.BackendOptions;
import dev.nibble.spi.BackendProvider;
import dev.nibble.spi.Plugins;
import dev.nibble.spi.Spi;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import java.io.File;
import java.io.IOException;
import java.net.URISyntaxException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CpuBackendProviderTests {
    /** Opens the backend from the class path of a JVM that knows nothing of the Vector API. */
    private static final String PROBE = """
            import dev.nibble.spi.*;
            public class Probe {
                public static void main(String[] args) {
                    BackendProvider cpu = Plugins.backends().get("cpu");
                    System.out.println(cpu.availability());
                    try {
                        cpu.open(BackendOptions.withSeed(1)).close();
                        System.out.println("opened");
                        cpu.open(new BackendOptions(1, 1, true)).close();
                        System.out.println("opened strictly");
                    } catch (dev.nibble.error.NibbleException e) {
                        System.out.println(e.getMessage());
                    }
                    try (Backend portable = Plugins.backends().get("cpu-portable").open(new BackendOptions(1, 1, true))) {
                        System.out.println(portable.description());
                    } catch (dev.nibble.error.NibbleException e) {
                        System.out.println(e.getMessage());
                    }
                }
            }
            """;

    @Test
    void providerIsFoundByName() {
        BackendProvider provider = Plugins.backends().get("cpu");
        assertEquals(CpuBackendProvider.class, provider.getClass());
        assertEquals(Spi.VERSION, provider.spiVersion());
        assertEquals(10, provider.preference());
        assertTrue(provider.availability().available(), provider.availability().reason());
    }

    @Test
    void descriptionNamesThreadsAndVectors() {
        try (Backend backend = new CpuBackendProvider().open(new BackendOptions(1, 3, false))) {
            assertEquals("cpu", backend.name());
            String description = backend.description();
            assertTrue(description.startsWith("3 threads, "), description);
            assertTrue(description.contains(TileKernel.LANES.vectorBitSize() + "-bit"), description);
        }
    }

    @Test
    void zeroThreadsMeansAllProcessors() {
        int processors = Runtime.getRuntime().availableProcessors();
        try (Backend backend = new CpuBackendProvider().open(BackendOptions.withSeed(1))) {
            assertTrue(backend.description().startsWith(processors + " thread"), backend.description());
        }
    }

    @Test
    void closedBackendRefusesWork() {
        Backend backend = new CpuBackendProvider().open(new BackendOptions(1, 2, false));
        backend.close();
        assertThrows(
                IllegalStateException.class, () -> backend.allocate("x", DType.FP32, Shape.of(2), MemoryTag.SCRATCH));
    }

    @Test
    void withoutTheVectorModuleTheReasonNamesTheFlag(@TempDir Path folder) throws Exception {
        String output = probe(folder, List.of());
        assertTrue(output.contains("available=false"), output);
        assertTrue(output.contains("backend cpu is not available"), output);
        assertTrue(output.contains("--add-modules jdk.incubator.vector"), output);
        assertFalse(output.contains("NoClassDefFoundError"), output);
    }

    @Test
    void withTheVectorModuleTheClassPathWorks(@TempDir Path folder) throws Exception {
        String output = probe(folder, List.of("--add-modules", "jdk.incubator.vector"));
        assertTrue(output.contains("available=true"), output);
        assertTrue(output.contains("opened"), output);
    }

    @Test
    void withoutNativeAccessThePortablePathRunsUnlessTheRunIsStrict(@TempDir Path folder) throws Exception {
        String output = probe(folder, List.of("--add-modules", "jdk.incubator.vector"));
        assertTrue(output.contains("portable path (native access is off; start java with"), output);
        assertTrue(output.contains("opened" + System.lineSeparator()), output);
        assertTrue(output.contains("backend cpu has only its portable path here (native access is off"), output);
        assertTrue(output.contains("--backend cpu-portable asks for that path"), output);
        assertTrue(output.contains("portable path: asked for"), output);
        assertFalse(output.contains("restricted method"), output); // no warning of the JVM either
    }

    @Test
    void aStrictRunOpensWhereTheNativePathIs(@TempDir Path folder) throws Exception {
        assumeTrue(
                NativeLibrary.outcome().kernels().isPresent(),
                NativeLibrary.outcome().reason());
        List<String> flags = List.of("--add-modules", "jdk.incubator.vector", "--enable-native-access=ALL-UNNAMED");
        String output = probe(folder, flags);
        assertTrue(output.contains("native path "), output);
        assertTrue(output.contains("opened strictly"), output);
    }

    private static String probe(Path folder, List<String> flags)
            throws IOException, InterruptedException, URISyntaxException {
        Path source = Files.writeString(folder.resolve("Probe.java"), PROBE);
        List<String> command = new ArrayList<>();
        command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        command.addAll(flags);
        String classPath = location(BackendProvider.class) + File.pathSeparator + location(CpuBackendProvider.class);
        command.addAll(List.of("-cp", classPath, source.toString()));
        Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
        String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
        assertEquals(0, process.waitFor(), output);
        return output;
    }

    private static Path location(Class<?> type) throws URISyntaxException {
        return Path.of(type.getProtectionDomain().getCodeSource().getLocation().toURI());
    }
}
