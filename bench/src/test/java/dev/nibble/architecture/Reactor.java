package dev.nibble.architecture;

import com.tngtech.archunit.core.domain.JavaClasses;
import com.tngtech.archunit.core.importer.ClassFileImporter;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.lang.module.ModuleDescriptor;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/** The compiled modules of this build, found beside this one. */
enum Reactor {
    API("api", "dev.nibble.api", 60),
    TESTKIT("testkit", "dev.nibble.testkit", 30),
    QUANT_INT4("quant-int4", "dev.nibble.quant.int4", 5),
    QUANT_LUQ("quant-luq", "dev.nibble.quant.luq", 5),
    QUANT_INT8_FALLBACK("quant-int8-fallback", "dev.nibble.quant.int8.fallback", 6),
    QUANT_FP8("quant-fp8", "dev.nibble.quant.fp8", 2),
    BACKEND_CPU("backend-cpu", "dev.nibble.backend.cpu", 3),
    BACKEND_CUDA("backend-cuda", "dev.nibble.backend.cuda", 20),
    MODELS("models", "dev.nibble.models", 15),
    CLI("cli", "dev.nibble.cli", 10);

    /** Modules that are reached by name only. */
    static final List<Reactor> PLUGINS =
            List.of(QUANT_INT4, QUANT_LUQ, QUANT_INT8_FALLBACK, QUANT_FP8, BACKEND_CPU, BACKEND_CUDA);

    /** Importing takes seconds, and every rule asks for the same few sets. */
    private static final Map<List<Reactor>, JavaClasses> IMPORTED = new ConcurrentHashMap<>();

    final String moduleName;
    private final String folder;
    private final int fewestClasses; // well below what is there: it only has to catch a rule that sees next to nothing

    Reactor(String folder, String moduleName, int fewestClasses) {
        this.folder = folder;
        this.moduleName = moduleName;
        this.fewestClasses = fewestClasses;
    }

    /** {@return the folder of this module's compiled classes} */
    Path classesFolder() {
        // surefire sets basedir to the folder of this module; an IDE starts tests there
        Path here = Path.of(System.getProperty("basedir", "")).toAbsolutePath();
        Path classes = here.resolveSibling(folder).resolve("target").resolve("classes");
        if (!Files.exists(classes.resolve("module-info.class"))) {
            throw new AssertionError(
                    "%s holds no module-info.class, but module %s is compiled there; run ./mvnw verify from the root"
                            .formatted(classes, moduleName));
        }
        return classes;
    }

    /** {@return the compiled module descriptor} */
    ModuleDescriptor descriptor() {
        try (InputStream in = Files.newInputStream(classesFolder().resolve("module-info.class"))) {
            return ModuleDescriptor.read(in);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** {@return this module's classes, at least as many as it is known to have} */
    JavaClasses classes() {
        return IMPORTED.computeIfAbsent(List.of(this), Reactor::imported);
    }

    /** {@return the classes of all modules, each checked to be there} */
    static JavaClasses allClasses() {
        return IMPORTED.computeIfAbsent(List.of(values()), Reactor::imported);
    }

    private static JavaClasses imported(List<Reactor> modules) {
        JavaClasses seen = new ClassFileImporter()
                .importPaths(modules.stream().map(Reactor::classesFolder).toList());
        for (Reactor module : modules) {
            String folder = module.classesFolder().toUri().toString();
            long count = seen.stream()
                    .filter(type ->
                            type.getSource().orElseThrow().getUri().toString().startsWith(folder))
                    .count();
            if (count < module.fewestClasses) {
                throw new AssertionError(
                        "%s: saw %d classes, but there are at least %d; a rule must not pass on nothing"
                                .formatted(module.moduleName, count, module.fewestClasses));
            }
        }
        return seen;
    }
}
