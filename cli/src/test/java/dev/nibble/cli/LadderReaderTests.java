package dev.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.models.QuantizerChoice;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class LadderReaderTests {
    @TempDir
    Path folder;

    private Ladder read(String text) throws IOException {
        return LadderReader.read(Files.writeString(folder.resolve("ladder.yaml"), text));
    }

    private String problem(String text) {
        return assertThrows(IllegalArgumentException.class, () -> read(text)).getMessage();
    }

    @Test
    void ladderHasWhatTheFileSays() throws IOException {
        Ladder ladder = read("""
                title: Two tasks
                seeds: [1, -2]
                rows:
                  fp32: {quantizer: fp32}
                  fp32 long: {quantizer: fp32, settings: {train.fineTuneSteps: 5}}
                  block: {quantizer: "int8-block:block=64", controls: [fallback, other]}
                  fallback: {quantizer: int8-fallback, recovers: block, baseline: fp32 long}
                tasks:
                  plain:
                    preset: text
                    settings: {train.steps: 7}
                    seeds: [5]
                    rows: [fp32, block]
                    aims: {block: 0.5}
                  all:
                    title: Everything
                    preset: text
                """);
        assertEquals("Two tasks", ladder.title());
        Ladder.Task plain = ladder.tasks().getFirst();
        Ladder.Task all = ladder.tasks().getLast();
        assertEquals(List.of(5L), plain.seeds());
        assertEquals(List.of(1L, -2L), all.seeds(), "those of the ladder, where a task has none");
        assertEquals("plain", plain.title(), "the name, where there is no title");
        assertEquals(
                List.of("fp32", "block"),
                plain.rows().stream().map(Ladder.Row::label).toList());
        assertEquals(0.5, plain.aims().get("block"));
        assertEquals(4, all.rows().size());
        Ladder.Row fallback = all.row("fallback").orElseThrow();
        assertEquals(
                List.of("block"),
                all.controls(fallback).stream().map(Ladder.Row::label).toList());
        assertEquals("fp32 long", all.baseline(fallback).orElseThrow().label());
        assertEquals(Optional.empty(), all.baseline(all.rows().getFirst()));
        Ladder.Row longer = all.row("fp32 long").orElseThrow();
        assertEquals("fp32", all.baseline(longer).orElseThrow().label());
        assertEquals("5", all.config(longer, 3, "cpu").settings().get("train.fineTuneSteps"));
        assertEquals(
                QuantizerChoice.parse("int8-block:block=64"),
                plain.config(plain.rows().getLast(), 3, "cpu").quantizer());
        assertTrue(plain.config(plain.rows().getLast(), 3, "cpu").strict());
    }

    @Test
    void everythingThatIsWrongIsToldWithItsLine() {
        String message = problem("""
                seeds: [1, x]
                rows:
                  fp32: {quantizer: fp32, colour: red}
                  none: {settings: {}}
                tasks:
                  a b: {preset: text}
                  c: {preset: text, rows: [fp23], aims: {fp32: much}}
                  d: {rows: [fp32]}
                  e: text
                """);
        for (String part : List.of(
                "ladder.yaml:1: seed is 'x', but must be a whole number",
                "ladder.yaml:3: row 'fp32' has 'colour', which it cannot have",
                "ladder.yaml:4: row 'none' has no quantizer, but needs one",
                "ladder.yaml:6: task 'a b' must have a name of letters, digits and hyphens",
                "ladder.yaml:7: task 'c' names row 'fp23', which there is not; known: fp32. Did you mean 'fp32'?",
                "ladder.yaml:8: task 'd' has no preset, but needs one",
                "ladder.yaml:9: task 'e' is 'text', but must be a section")) {
            assertTrue(message.contains(part), part + " is missing in: " + message);
        }
    }

    @Test
    void rowsThatOthersNameMustRunInTheTask() {
        String message = problem("""
                seeds: [1]
                rows:
                  fp32: {quantizer: fp32}
                  block: {quantizer: int8-block}
                  fallback: {quantizer: int8-fallback, recovers: block}
                tasks:
                  a: {preset: text, rows: [fp32, fallback], aims: {block: 1}}
                """);
        assertTrue(message.contains(":7: row 'fallback' names row 'block', which there is not"), message);
        assertTrue(message.contains(":7: the aims of task 'a' names row 'block'"), message);
    }

    @Test
    void ladderNeedsSeedsAndTasks() {
        String nothing = problem("title: Nothing\n");
        assertTrue(nothing.contains("the ladder has no tasks"), nothing);
        String noSeeds = problem("rows: {fp32: {quantizer: fp32}}\ntasks: {a: {preset: text}}\n");
        assertTrue(noSeeds.contains("the ladder has no seeds for task 'a', but needs one or more"), noSeeds);
    }
}
