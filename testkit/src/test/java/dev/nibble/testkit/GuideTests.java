package dev.nibble.testkit;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.testkit.control.ControlQuantizers;
import dev.nibble.testkit.control.FaultyBackends;
import java.io.IOException;
import java.lang.reflect.Method;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** The guides quote sources that are compiled and run here, and name what there is. */
class GuideTests {
    private static final Path HERE = Path.of(System.getProperty("basedir", "")).toAbsolutePath();
    private static final Pattern BLOCK = Pattern.compile("```java\n(.*?)```", Pattern.DOTALL);

    private static String guide(String name) throws IOException {
        return Files.readString(HERE.resolveSibling("docs").resolve(name));
    }

    private static List<String> examples() throws IOException {
        Path folder = HERE.resolve("src/test/java/org/example");
        List<String> sources = new ArrayList<>();
        try (Stream<Path> files = Files.walk(folder)) {
            for (Path file :
                    files.filter(path -> path.toString().endsWith(".java")).toList()) {
                sources.add(Files.readString(file));
            }
        }
        return sources;
    }

    private static List<String> blocks(String guide) {
        List<String> blocks = new ArrayList<>();
        Matcher matcher = BLOCK.matcher(guide);
        while (matcher.find()) {
            blocks.add(matcher.group(1).strip());
        }
        return blocks;
    }

    @Test
    void codeOfTheGuidesIsCompiled() throws IOException {
        List<String> sources = examples();
        assertTrue(sources.size() >= 6, "saw " + sources.size() + " examples");
        List<String> quoted = new ArrayList<>(blocks(guide("conformance.md")));
        assertEquals(3, quoted.size());
        blocks(guide("plugins.md")).stream()
                .filter(block -> block.contains("package org.example"))
                .forEach(quoted::add);
        assertEquals(6, quoted.size());
        for (String block : quoted) {
            assertTrue(sources.stream().anyMatch(source -> source.contains(block)), "no source holds\n" + block);
        }
    }

    private static void assertNamesTests(String guide, Class<?> contract) {
        int tests = 0;
        for (Method method : contract.getMethods()) {
            if (method.isAnnotationPresent(Test.class)) {
                tests++;
                boolean claimed = method.getName().startsWith("errors")
                        || method.getName().startsWith("context");
                assertTrue(claimed || guide.contains("`" + method.getName() + "`"), method + " is not in the guide");
            }
        }
        assertTrue(tests > 20, contract + " has " + tests + " tests");
    }

    @Test
    void guideNamesEveryTestAndControl() throws IOException {
        String guide = guide("conformance.md");
        assertNamesTests(guide, QuantizerContract.class);
        assertNamesTests(guide, BackendContract.class);
        for (Class<?> controls : List.of(ControlQuantizers.class, FaultyBackends.class)) {
            Arrays.stream(controls.getMethods())
                    .filter(method -> method.getDeclaringClass() == controls)
                    .filter(method ->
                            !List.of("int8", "int4", "remembering").contains(method.getName())) // have no fault
                    .forEach(method -> assertTrue(guide.contains(method.getName()), method + " is not in the guide"));
        }
    }
}
