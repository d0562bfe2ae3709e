package dev.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** The ladders of this repository, and the one in its documentation. */
class LadderFilesTests {
    private static final Path ROOT = Path.of("..");
    private static final Path LADDERS = ROOT.resolve("bench").resolve("ladders");
    private static final String FENCE = "```yaml\n";

    @TempDir
    Path folder;

    @ParameterizedTest
    @ValueSource(strings = {"cpu.yaml", "gpu.yaml"})
    void everyMethodHasAControl(String name) {
        Ladder ladder = LadderReader.read(LADDERS.resolve(name));
        List<String> tasks = ladder.tasks().stream().map(Ladder.Task::name).toList();
        assertTrue(tasks.containsAll(List.of("resnet", "vit", "text", "outliers", "encoder")), tasks.toString());
        for (Ladder.Task task : ladder.tasks()) {
            for (String method : List.of("fp8", "int8-row", "int8-block", "int8-fallback", "int4", "luq")) {
                task.row(method)
                        .ifPresent(row -> assertTrue(
                                !task.controls(row).isEmpty(), method + " of " + task.name() + " has no control"));
            }
        }
    }

    /** Presets, settings and quantizers are right; for the encoder that is known only where its weights are. */
    @ParameterizedTest
    @ValueSource(strings = {"cpu.yaml", "gpu.yaml"})
    void theirTasksCanRun(String name) {
        Path file = LADDERS.resolve(name);
        String tasks = LadderReader.read(file).tasks().stream()
                .map(Ladder.Task::name)
                .filter(task -> !task.equals("encoder"))
                .collect(Collectors.joining(","));
        Outcome outcome = Outcome.of(
                "ladder", file.toString(), "--tasks", tasks, "--tables", "--json", "--out", folder.toString());
        assertEquals(0, outcome.status(), outcome.err());
        assertTrue(outcome.json().get("tasks").isEmpty(), "there are no runs");
    }

    @Test
    void documentedOneIsRead() throws IOException {
        String page = Files.readString(ROOT.resolve("docs").resolve("ladders.md"));
        int begin = page.indexOf(FENCE) + FENCE.length();
        Path file =
                Files.writeString(folder.resolve("example.yaml"), page.substring(begin, page.indexOf("```", begin)));
        Ladder ladder = LadderReader.read(file);
        assertEquals(List.of(1L, 2L, 3L, 4L, 5L), ladder.tasks().getFirst().seeds());
        assertEquals(3, ladder.tasks().getFirst().rows().size());
    }
}
