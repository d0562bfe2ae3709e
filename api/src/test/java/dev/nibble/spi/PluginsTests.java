package dev.nibble.spi;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.error.NotAvailableException;
import java.io.IOException;
import java.io.InputStream;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class PluginsTests {
    /** A plug-in built against a version that is not accepted. */
    public static final class OldProvider implements QuantizerProvider {
        /** Makes the provider. */
        public OldProvider() {}

        @Override
        public String name() {
            return "old";
        }

        @Override
        public int spiVersion() {
            return Spi.OLDEST - 1;
        }

        @Override
        public String description() {
            return "too old";
        }

        @Override
        public List<OptionSpec> options() {
            return List.of();
        }

        @Override
        public Quantizer create(OptionValues options) {
            throw new AssertionError("a plug-in that is too old is never asked to create");
        }
    }

    @Test
    void builtInPlugInsAreFound() {
        assertTrue(Plugins.quantizers().names().containsAll(List.of("bf16", "fp32")));
        assertTrue(Plugins.backends().names().contains("reference"));
        assertEquals(List.of(), Plugins.quantizers().problems());
        assertEquals(Plugins.backends().names().size(), Plugins.backends().all().size());
    }

    @Test
    void unknownNameListsTheKnownOnes() {
        IllegalArgumentException e = assertThrows(
                IllegalArgumentException.class, () -> Plugins.quantizers().get("fp23"));
        assertTrue(e.getMessage().startsWith("no quantizer is named 'fp23'; known: "), e.getMessage());
        assertTrue(e.getMessage().endsWith("Did you mean 'fp32'?"), e.getMessage());
        IllegalArgumentException backend = assertThrows(
                IllegalArgumentException.class, () -> Plugins.openBackend("referense", BackendOptions.withSeed(1)));
        assertTrue(backend.getMessage().contains("Did you mean 'reference'?"), backend.getMessage());
    }

    @Test
    void autoOpensTheBackendThatIsMostPreferred() {
        try (Backend backend = Plugins.openBackend("auto", BackendOptions.withSeed(1))) {
            int preference = Plugins.backends().get(backend.name()).preference();
            for (BackendProvider provider : Plugins.backends().all()) {
                assertTrue(!provider.availability().available() || provider.preference() <= preference);
            }
        }
    }

    /** A backend that may be there or not. */
    private record Stub(String name, int preference, Availability availability) implements BackendProvider {
        @Override
        public int spiVersion() {
            return Spi.VERSION;
        }

        @Override
        public String description() {
            return name;
        }

        @Override
        public Backend open(BackendOptions options) {
            throw new AssertionError("only chosen");
        }
    }

    @Test
    void autoSaysWhyItTakesNoBetterBackend() {
        Stub slow = new Stub("slow", 1, Availability.yes("here"));
        Stub fast = new Stub("fast", 2, Availability.yes("here"));
        Stub faster = new Stub("faster", 3, Availability.no("no kernels for this device"));
        Stub fastest = new Stub("fastest", 4, Availability.no("no driver"));
        BackendChoice best = BackendChoice.best(List.of(fast, slow));
        assertEquals("fast", best.provider().name());
        assertEquals("preferred to all others", best.reason());
        BackendChoice choice = BackendChoice.best(List.of(faster, fast, fastest, slow));
        assertEquals("fast", choice.provider().name());
        assertEquals(
                "the best that can run; fastest cannot: no driver; faster cannot: no kernels for this device",
                choice.reason());
        NotAvailableException e =
                assertThrows(NotAvailableException.class, () -> BackendChoice.best(List.of(faster, fastest)));
        assertTrue(e.getMessage().contains("fastest cannot: no driver"), e.getMessage());
    }

    @Test
    void brokenPlugInsAreProblemsNotFailures(@TempDir Path folder) throws IOException {
        String old = OldProvider.class.getName();
        Path services = Files.createDirectories(folder.resolve("META-INF/services"));
        Files.writeString(services.resolve(QuantizerProvider.class.getName()), "dev.nibble.Missing\n" + old + "\n");
        Thread thread = Thread.currentThread();
        ClassLoader before = thread.getContextClassLoader();
        try (URLClassLoader loader = new StrangerLoader(folder)) {
            thread.setContextClassLoader(loader);
            Plugins<QuantizerProvider> plugins = Plugins.quantizers();
            assertFalse(plugins.names().contains("old"));
            assertTrue(plugins.names().contains("fp32"));
            List<String> problems = plugins.problems();
            assertEquals(2, problems.size(), problems.toString());
            assertTrue(problems.getFirst().contains("dev.nibble.Missing"), problems.getFirst());
            assertTrue(
                    problems.getLast().endsWith("was built for SPI version 1, but 2..2 is needed"), problems.getLast());
        } finally {
            thread.setContextClassLoader(before);
        }
    }

    /** Defines the old provider anew, outside any named module, as a plug-in on the class path is. */
    private static final class StrangerLoader extends URLClassLoader {
        StrangerLoader(Path folder) throws IOException {
            super(new URL[] {folder.toUri().toURL()}, PluginsTests.class.getClassLoader());
        }

        @Override
        protected Class<?> loadClass(String name, boolean resolve) throws ClassNotFoundException {
            if (!name.equals(OldProvider.class.getName()) || findLoadedClass(name) != null) {
                return super.loadClass(name, resolve);
            }
            try (InputStream in = OldProvider.class.getResourceAsStream("PluginsTests$OldProvider.class")) {
                byte[] bytes = in.readAllBytes();
                return defineClass(name, bytes, 0, bytes.length);
            } catch (IOException e) {
                throw new ClassNotFoundException(name, e);
            }
        }
    }

    @Test
    void acceptedVersionsAreARange() {
        assertFalse(Spi.accepts(Spi.OLDEST - 1));
        assertTrue(Spi.accepts(Spi.OLDEST));
        assertTrue(Spi.accepts(Spi.VERSION));
        assertFalse(Spi.accepts(Spi.VERSION + 1));
    }
}
