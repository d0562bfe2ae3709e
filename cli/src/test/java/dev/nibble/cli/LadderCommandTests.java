package dev.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class LadderCommandTests {
    private static final String LADDER = """
            title: A small ladder
            seeds: [1, 2]
            rows:
              fp32: {quantizer: fp32}
              bf16: {quantizer: bf16}
              luq: {quantizer: luq}
              nearest: {quantizer: "luq:gradQuant=rdnp", controls: [luq]}
            tasks:
              text:
                title: Bytes
                preset: text
                settings:
                  {train.steps: 3, train.warmup: 1, model.layers: 1, model.width: 16, model.heads: 2, model.hidden: 16,
                   data.batch: 1, data.sequence: 16, data.validationBatches: 1}
              short:
                preset: text
                settings:
                  {train.steps: 2, train.warmup: 1, model.layers: 1, model.width: 16, model.heads: 2, model.hidden: 16,
                   data.batch: 1, data.sequence: 16, data.validationBatches: 1}
                seeds: [1, 2]
                rows: [fp32, bf16]
                aims: {bf16: 0.5}
            """;

    @TempDir
    Path folder;

    private Path file;
    private Path out;

    @BeforeEach
    void writeLadder() throws IOException {
        file = Files.writeString(folder.resolve("small.yaml"), LADDER);
        out = folder.resolve("out");
    }

    private Outcome ladder(String... more) {
        List<String> words = new ArrayList<>(List.of("ladder", file.toString(), "--out", out.toString()));
        words.addAll(List.of("--backend", "reference"));
        words.addAll(List.of(more));
        return Outcome.of(words.toArray(String[]::new));
    }

    private Map<String, FileTime> files() throws IOException {
        Map<String, FileTime> times = new TreeMap<>();
        try (Stream<Path> all = Files.walk(out.resolve("runs"))) {
            for (Path path : all.filter(Files::isRegularFile).toList()) {
                times.put(out.relativize(path).toString(), Files.getLastModifiedTime(path));
            }
        }
        return times;
    }

    @Test
    void tasksRowsAndSeedsMakeTables() throws IOException {
        Outcome outcome = ladder();
        assertEquals(0, outcome.status(), outcome.err());
        assertEquals(12, files().size());
        assertTrue(outcome.err().contains("12 of 12: "), outcome.err());
        String page = Files.readString(out.resolve("ladder.md"));
        for (String part : List.of(
                "# A small ladder",
                "## Bytes",
                "## short",
                "runs: 12 of 12",
                "| bf16 | `bf16` | 2 |",
                "| nearest | ",
                "## Aims",
                "| short | bf16 | 0.50 |")) {
            assertTrue(page.contains(part), part + " is missing in " + page);
        }
        JsonNode json = tree(Files.readString(out.resolve("ladder.json")));
        assertEquals(12, json.get("runs").size());
        assertEquals(2, json.at("/tasks/0/rows/1/gap/count").asInt());
    }

    @Test
    void textOfOnesOwnStandsBeforeTheTables() throws IOException {
        Path text = Files.writeString(folder.resolve("text.md"), "\n## What I think\n\nIt works.\n");
        Outcome outcome = ladder("--tables", "--text", text.toString());
        assertEquals(0, outcome.status(), outcome.err());
        String page = Files.readString(out.resolve("ladder.md"));
        assertTrue(page.endsWith("\n\n## What I think\n\nIt works.\n"), page);
        Outcome missing = ladder("--tables", "--text", "no-such-file.md");
        assertEquals(2, missing.status());
        assertTrue(missing.err().contains("--text is no-such-file.md, but must be a file in UTF-8"), missing.err());
    }

    private static JsonNode tree(String text) throws IOException {
        return new ObjectMapper().readTree(text);
    }

    @Test
    void finishedRunsAreSkippedAndMissingOnesDone() throws IOException {
        assertEquals(0, ladder("--seeds", "1").status());
        Map<String, FileTime> first = files();
        String lost = first.keySet().iterator().next();
        Files.delete(out.resolve(lost));
        Outcome outcome = ladder("--seeds", "1");
        assertEquals(0, outcome.status(), outcome.err());
        assertTrue(outcome.err().contains("1 of 1: "), outcome.err());
        Map<String, FileTime> second = files();
        assertEquals(first.keySet(), second.keySet());
        first.remove(lost);
        second.remove(lost);
        assertEquals(first, second, "the others are not done again");
    }

    @Test
    void otherSettingsCommitOrBackendDoNotCount() throws IOException {
        assertEquals(0, ladder("--seeds", "1", "--tasks", "short").status());
        for (String[] other : List.of(
                new String[] {"--set", "short:train.learningRate=0.01"},
                new String[] {"--commit", "abc"},
                new String[] {"--backend", "cpu-portable"})) {
            List<String> words = new ArrayList<>(List.of("--seeds", "1", "--tasks", "short", "--tables", "--json"));
            words.addAll(List.of(other));
            List<String> all = new ArrayList<>(List.of("ladder", file.toString(), "--out", out.toString()));
            if (!words.contains("--backend")) {
                all.addAll(List.of("--backend", "reference"));
            }
            all.addAll(words);
            Outcome outcome = Outcome.of(all.toArray(String[]::new));
            assertEquals(0, outcome.status(), outcome.err());
            assertEquals(0, outcome.json().get("runs").size(), String.join(" ", other));
        }
        assertEquals(
                2,
                ladder("--seeds", "1", "--tables", "--json").json().get("runs").size());
    }

    @Test
    void jobsChangeNoNumber() {
        JsonNode one = ladder("--json", "--quiet", "--tasks", "text").json();
        out = folder.resolve("more");
        JsonNode three =
                ladder("--json", "--quiet", "--tasks", "text", "--jobs", "3").json();
        for (int i = 0; i < 8; i++) {
            for (String number : List.of("row", "seed", "validationLoss", "trainLoss")) {
                assertEquals(one.at("/runs/" + i + "/" + number), three.at("/runs/" + i + "/" + number));
            }
        }
        assertNotEquals(one.at("/runs/0/validationLoss"), one.at("/runs/4/validationLoss"), "seeds differ");
    }

    @Test
    void timeThatIsUpLeavesTheRestForTheNextTime() throws IOException {
        Outcome outcome = ladder("--minutes", "0");
        assertEquals(0, outcome.status());
        assertTrue(outcome.err().contains("0 of 12 runs are complete; the same command goes on"), outcome.err());
        assertTrue(Files.exists(out.resolve("ladder.md")));
        assertFalse(Files.exists(out.resolve("runs")));
        assertEquals(0, ladder().status());
        assertEquals(12, files().size());
    }

    @Test
    void interruptionKeepsWhatIsFinished() {
        Interruption interruption = new Interruption();
        interruption.request();
        Outcome outcome =
                Outcome.of(interruption, "ladder", file.toString(), "--out", out.toString(), "--backend", "reference");
        assertEquals(130, outcome.status());
        assertTrue(outcome.err().contains("interrupted; 0 of 12 runs are complete"), outcome.err());
    }

    @Test
    void everythingThatIsWrongIsToldAtOnce() {
        Outcome outcome = ladder(
                "--jobs", "0", "--tasks", "txt", "--seeds", "1,b", "--set", "text:model.layer=2", "--set", "nonsense");
        assertEquals(2, outcome.status());
        for (String part : List.of(
                "no task is named 'txt'; known: text, short. Did you mean 'text'?",
                "seed is 'b', but must be a whole number",
                "--set is 'nonsense', but must be TASK:PATH=VALUE",
                "--jobs is 0, but must be at least 1")) {
            assertTrue(outcome.err().contains(part), part + " is missing in " + outcome.err());
        }
        Outcome setting = ladder("--set", "text:model.layer=2");
        assertEquals(2, setting.status());
        assertTrue(setting.err().contains("task text, row fp32: no setting is named 'model.layer'"), setting.err());
        assertFalse(Files.exists(out), "nothing is written");
    }

    @Test
    void dataThatIsMissingIsToldWithItsTask() throws IOException {
        Files.writeString(file, """
                seeds: [1]
                rows: {fp32: {quantizer: fp32}}
                tasks: {vit: {preset: images, settings: {data.path: no-such-folder}}}
                """);
        Outcome outcome = ladder();
        assertEquals(1, outcome.status(), outcome.err());
        assertTrue(
                outcome.err().startsWith("nibble: task vit: data folder no-such-folder does not exist"), outcome.err());
        assertTrue(outcome.err().contains("--set vit:PATH=VALUE names another place"), outcome.err());
        assertFalse(Files.exists(out), "nothing is written");
    }

    @Test
    void runThatIsStoppedIsAResultAndIsNotDoneAgain() {
        // this learning rate makes the weights overflow
        String[] words = {"--tasks", "short", "--set", "short:train.learningRate=1e30", "--json"};
        Outcome outcome = ladder(words);
        assertEquals(0, outcome.status(), outcome.err());
        assertEquals("stopped", outcome.json().at("/runs/0/status").asText());
        assertEquals(2, outcome.json().at("/tasks/0/rows/0/stopped").asInt());
        assertFalse(ladder(words).err().contains(" of 4"), "nothing is left to do");
    }
}
