package dev.nibble.architecture;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.module.ModuleDescriptor;
import java.lang.module.ModuleDescriptor.Exports;
import java.lang.module.ModuleDescriptor.Opens;
import java.lang.module.ModuleDescriptor.Requires;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The edges between modules, and what each shows of itself. A new edge needs a new line here, and a reason. */
class ModuleGraphTests {
    private static final Map<Reactor, Set<String>> ALLOWED = Map.of(
            Reactor.API, Set.of("static org.jspecify"),
            Reactor.TESTKIT, Set.of("transitive dev.nibble.api", "transitive org.junit.jupiter.api"),
            Reactor.QUANT_INT4, Set.of("dev.nibble.api", "static org.jspecify"),
            Reactor.QUANT_LUQ, Set.of("dev.nibble.api", "static org.jspecify"),
            Reactor.QUANT_INT8_FALLBACK, Set.of("dev.nibble.api", "static org.jspecify"),
            Reactor.QUANT_FP8, Set.of("dev.nibble.api", "static org.jspecify"),
            Reactor.BACKEND_CPU, Set.of("dev.nibble.api", "jdk.incubator.vector"),
            Reactor.BACKEND_CUDA, Set.of("dev.nibble.api", "jcuda"),
            Reactor.MODELS,
                    Set.of(
                            "transitive dev.nibble.api",
                            "transitive com.google.guice",
                            "jakarta.inject",
                            "com.fasterxml.jackson.core",
                            "com.fasterxml.jackson.dataformat.csv",
                            "static ai.djl.tokenizers",
                            "org.snakeyaml.engine.v2"),
            Reactor.CLI,
                    Set.of(
                            "dev.nibble.api",
                            "dev.nibble.models",
                            "com.fasterxml.jackson.databind",
                            "info.picocli",
                            "java.management",
                            // the tokenizers' library, and what it needs but cannot name
                            "ai.djl.tokenizers",
                            "com.google.gson",
                            "org.slf4j",
                            "me.tongfei.progressbar",
                            "org.apache.commons.statistics.distribution"));

    @Test
    void modulesRequireExactlyWhatIsAllowed() {
        Map<Reactor, Set<String>> found = new HashMap<>();
        for (Reactor module : Reactor.values()) {
            assertEquals(module.moduleName, module.descriptor().name());
            found.put(module, requires(module.descriptor()));
        }
        assertEquals(byName(ALLOWED), byName(found));
    }

    @Test
    void anEdgeThatIsNotAllowedIsSeen() {
        ModuleDescriptor planted = ModuleDescriptor.newModule(Reactor.QUANT_FP8.moduleName)
                .requires("dev.nibble.api")
                .requires(Set.of(Requires.Modifier.STATIC), "org.jspecify")
                .requires("dev.nibble.backend.cpu")
                .build();
        assertNotEquals(ALLOWED.get(Reactor.QUANT_FP8), requires(planted));
    }

    @Test
    void pluginsExportAndOpenNothing() {
        for (Reactor module : Reactor.PLUGINS) {
            ModuleDescriptor descriptor = module.descriptor();
            assertEquals(Set.of(), descriptor.exports(), module.moduleName);
            assertEquals(Set.of(), descriptor.opens(), module.moduleName);
        }
    }

    @Test
    void noModuleExportsToFriends() {
        for (Reactor module : Reactor.values()) {
            assertEquals(List.of(), friendExports(module.descriptor()), module.moduleName);
        }
    }

    @Test
    void anExportToAFriendIsSeen() {
        ModuleDescriptor planted = ModuleDescriptor.newModule("planted")
                .exports("planted.inner", Set.of("dev.nibble.cli"))
                .build();
        assertEquals(List.of("planted.inner"), friendExports(planted));
    }

    /** Opening is for the frameworks that need it: to anyone at large it would undo the boundary. */
    @Test
    void modulesOpenPackagesToNamedModulesOnly() {
        for (Reactor module : Reactor.values()) {
            List<String> open = module.descriptor().opens().stream()
                    .filter(opens -> !opens.isQualified())
                    .map(Opens::source)
                    .toList();
            assertEquals(List.of(), open, module.moduleName);
        }
    }

    @Test
    void aPackageBelongsToOneModule() {
        Map<String, String> owners = new HashMap<>();
        for (Reactor module : Reactor.values()) {
            for (String name : packages(module)) {
                String other = owners.put(name, module.moduleName);
                assertEquals(null, other, "package " + name + " is in " + module.moduleName + " and in " + other);
            }
        }
    }

    @Test
    void providersInModuleInfoAndMetaInfServicesAgree() {
        int services = 0;
        for (Reactor module : Reactor.values()) {
            assertEquals(
                    provided(module.descriptor()),
                    registered(module.classesFolder()),
                    "services of " + module.moduleName);
            services += module.descriptor().provides().size();
        }
        // at least one service each in the three plug-ins and two in api
        assertEquals(true, services >= 5, "saw " + services + " provided services");
    }

    @Test
    void aProviderMissingFromMetaInfServicesIsSeen(@TempDir Path classes) throws IOException {
        Path services = Files.createDirectories(classes.resolve("META-INF/services"));
        Files.writeString(services.resolve("planted.Service"), "planted.First # the second is forgotten\n");
        ModuleDescriptor planted = ModuleDescriptor.newModule("planted")
                .provides("planted.Service", List.of("planted.First", "planted.Second"))
                .build();
        assertEquals(Map.of("planted.Service", Set.of("planted.First")), registered(classes));
        assertNotEquals(provided(planted), registered(classes));
    }

    /** {@return what a module requires besides java.base, as "static name", "transitive name" or the bare name} */
    private static Set<String> requires(ModuleDescriptor descriptor) {
        return descriptor.requires().stream()
                .filter(requires -> !requires.name().equals("java.base"))
                .map(requires -> Stream.concat(
                                requires.modifiers().stream()
                                        .map(modifier -> modifier.name().toLowerCase(Locale.ROOT))
                                        .sorted(),
                                Stream.of(requires.name()))
                        .collect(Collectors.joining(" ")))
                .collect(Collectors.toSet());
    }

    private static List<String> friendExports(ModuleDescriptor descriptor) {
        return descriptor.exports().stream()
                .filter(Exports::isQualified)
                .map(Exports::source)
                .toList();
    }

    /** {@return service → providers, as module-info declares them} */
    private static Map<String, Set<String>> provided(ModuleDescriptor descriptor) {
        return descriptor.provides().stream()
                .collect(Collectors.toMap(
                        ModuleDescriptor.Provides::service, provides -> new HashSet<>(provides.providers())));
    }

    /** {@return service → providers, as the files for the class path list them} */
    private static Map<String, Set<String>> registered(Path classes) {
        Path services = classes.resolve("META-INF").resolve("services");
        if (!Files.isDirectory(services)) {
            return Map.of();
        }
        try (Stream<Path> files = Files.list(services)) {
            return files.collect(
                    Collectors.toMap(file -> file.getFileName().toString(), ModuleGraphTests::registeredProviders));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static Set<String> registeredProviders(Path file) {
        try (Stream<String> lines = Files.lines(file)) {
            return lines.map(line -> line.replaceFirst("#.*", "").strip())
                    .filter(line -> !line.isEmpty())
                    .collect(Collectors.toSet());
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** {@return the packages that hold classes of a module} */
    private static Set<String> packages(Reactor module) {
        Set<String> names =
                module.classes().stream().map(type -> type.getPackageName()).collect(Collectors.toSet());
        assertEquals(false, names.isEmpty(), module.moduleName);
        return names;
    }

    /** Sorted, one edge a line, so that a mismatch reads as a difference. */
    private static String byName(Map<Reactor, Set<String>> graph) {
        return Arrays.stream(Reactor.values())
                .flatMap(module -> new TreeSet<>(graph.getOrDefault(module, Set.of()))
                        .stream().map(edge -> module.moduleName + " -> " + edge))
                .collect(Collectors.joining("\n"));
    }
}
