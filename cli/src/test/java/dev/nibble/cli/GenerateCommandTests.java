package dev.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class GenerateCommandTests {
    @TempDir
    static Path folder;

    @BeforeAll
    static void train() {
        String tiny = "--set model.width=32 --set model.heads=2 --set model.layers=1 --set data.batch=4 --set"
                + " data.sequence=16 --set data.validationBatches=2 --steps 4 --quiet --set model.style=gpt2";
        Outcome trained = nibble("train " + tiny + " --quantizer int8-row --out @run");
        assertEquals(0, trained.status(), trained.err());
        assertTrue(trained.out().contains("perplexity  bits/byte"), trained.out());
    }

    private static Outcome nibble(String command) {
        return nibble(new Interruption(), command);
    }

    private static Outcome nibble(Interruption interruption, String command) {
        List<String> words = new ArrayList<>();
        for (String word : command.split(" ", -1)) {
            words.add(word.startsWith("@") ? folder.resolve(word.substring(1)).toString() : word);
        }
        return Outcome.of(interruption, words.toArray(String[]::new));
    }

    @Test
    void textIsPrintedBehindThePrompt() {
        Outcome outcome = nibble("generate @run --prompt Ahab --tokens 12 --seed 3");
        assertEquals(0, outcome.status(), outcome.err());
        assertTrue(outcome.out().startsWith("Ahab") && outcome.out().endsWith("\n"), outcome.out());
        assertTrue(outcome.err().contains("12 tokens in "), outcome.err());
        // a block, a sequence of 16, 32 keys and 32 values of each, 4 bytes
        assertTrue(outcome.err().contains(", 4.0 KiB of keys and values"), outcome.err());
        assertEquals(
                outcome.out(),
                nibble("generate @run --prompt Ahab --tokens 12 --seed 3 --quiet")
                        .out());
    }

    @Test
    void jsonTellsTheSame() {
        JsonNode json = nibble("generate @run --prompt Ahab --tokens 12 --seed 3 --json")
                .json();
        String text = nibble("generate @run --prompt Ahab --tokens 12 --seed 3 --quiet")
                .out();
        assertEquals(text, json.get("prompt").asText() + json.get("text").asText() + "\n");
        assertEquals(4, json.get("step").asInt());
        assertEquals(16, json.get("context").asInt());
        assertEquals(4, json.get("promptTokens").size());
        assertEquals(12, json.get("tokens").size());
        assertTrue(json.get("tokensPerSecond").asDouble() > 0);
        assertEquals(4096, json.get("cacheBytes").asInt());
        assertEquals("length", json.get("end").asText());
        assertFalse(json.has("samples"));
    }

    @Test
    void withoutACacheTheTextIsTheSame() { // int8-row has a scale a row
        String options = "generate @run --prompt Ahab --max-tokens 40 --seed 3 "; // more than two windows
        Outcome outcome = nibble(options + "--no-cache");
        assertTrue(outcome.err().contains(", no cache"), outcome.err());
        assertEquals(nibble(options + "--quiet").out(), outcome.out());
        assertEquals(
                0,
                nibble(options + "--no-cache --json").json().get("cacheBytes").asInt());
    }

    @Test
    void samplesStandBelowEachOther() {
        Outcome outcome = nibble("generate @run --prompt Ahab --tokens 5 --seed 3 --samples 2");
        String first = nibble("generate @run --prompt Ahab --tokens 5 --seed 3").out();
        assertTrue(outcome.out().startsWith("=== sample 1 of 2 ===\n" + first.stripTrailing()), outcome.out());
        assertTrue(outcome.out().contains("\n=== sample 2 of 2 ===\nAhab"), outcome.out());
        assertTrue(outcome.err().contains("10 tokens in "), outcome.err());
        JsonNode json = nibble("generate @run --prompt Ahab --tokens 5 --seed 3 --samples 2 --json")
                .json();
        assertEquals(2, json.get("samples").size());
        assertEquals(json.get("text"), json.get("samples").get(0).get("text"));
        assertEquals(8192, json.get("cacheBytes").asInt());
    }

    @Test
    void aTextStopsWhereItShould() {
        String options = "generate @run --prompt Ahab --tokens 30 --seed 3 --json";
        String text = nibble(options).json().get("text").asText();
        String stop = text.codePoints()
                .filter(c -> c > ' ' && c < 127)
                .mapToObj(Character::toString)
                .findFirst()
                .orElseThrow();
        JsonNode json = nibble(options + " --stop NEVER --stop " + stop).json();
        assertEquals(text.substring(0, text.indexOf(stop)), json.get("text").asText());
        assertEquals("stop", json.get("end").asText());
    }

    @Test
    void promptsComeFromFilesAndStandardInput() throws IOException {
        String expected =
                nibble("generate @run --prompt Ahab --tokens 5 --quiet").out();
        Path file = Files.writeString(folder.resolve("prompt.txt"), "Ahab");
        assertEquals(
                expected,
                nibble("generate @run --prompt-file @prompt.txt --tokens 5 --quiet")
                        .out());
        InputStream before = System.in;
        try {
            System.setIn(new ByteArrayInputStream("Ahab".getBytes(StandardCharsets.UTF_8)));
            assertEquals(
                    expected,
                    nibble("generate @run --prompt-file - --tokens 5 --quiet").out());
        } finally {
            System.setIn(before);
        }
        Files.write(file, new byte[] {'A', 'h', (byte) 0xFF});
        Outcome damaged = nibble("generate @run --prompt-file @prompt.txt");
        assertEquals(1, damaged.status());
        assertTrue(damaged.err().contains("prompt.txt: byte 2 is not UTF-8, but a prompt must be"), damaged.err());
        Outcome missing = nibble("generate @run --prompt-file @none.txt");
        assertEquals(1, missing.status());
        assertTrue(missing.err().contains("none.txt cannot be read"), missing.err());
        Outcome both = nibble("generate @run --prompt x --prompt-file @prompt.txt");
        assertEquals(2, both.status());
        assertTrue(both.err().contains("--prompt and --prompt-file are both given"), both.err());
    }

    @Test
    void otherQuantizersAndBackendsAreTaken() {
        JsonNode json = nibble(
                        "generate @run --tokens 3 --quantizer fp8:scaling=row --backend reference --temperature 0 --json")
                .json();
        assertEquals("reference", json.get("backend").asText());
        assertEquals("fp8:scaling=row", json.get("quantizer").asText());
        assertEquals("\n", json.get("prompt").asText());
    }

    @Test
    void everyMisuseIsToldAtOnce() {
        Outcome outcome = nibble(
                "generate @run --tokens 0 --samples 0 --stop= --temperature -1 --top-k -1 --top-p 2 --threads -1 --backend cpuu --quantizer :x");
        assertEquals(2, outcome.status());
        for (String part : List.of(
                "tokens is 0",
                "samples is 0",
                "to stop at is empty",
                "temperature is -1",
                "top-k is -1",
                "top-p is 2",
                "--threads is -1",
                "'cpuu'")) {
            assertTrue(outcome.err().contains(part), part + ": " + outcome.err());
        }
        assertEquals(2, nibble("generate @run --quantizer int3").status());
    }

    @Test
    void whatCannotBeGoneOnWithIsRefused() {
        Outcome longPrompt = nibble("generate @run --prompt " + "x".repeat(17));
        assertEquals(2, longPrompt.status());
        assertEquals(
                "nibble: the prompt has 17 tokens, but the model sees at most 16 at once; shorten it",
                longPrompt.err().strip());
        assertEquals(1, nibble("generate @nothing").status());
        Outcome tokenizer = nibble("generate @run --tokenizer @none.json");
        assertEquals(1, tokenizer.status());
        assertTrue(tokenizer.err().contains("none.json does not exist"), tokenizer.err());
    }

    @Test
    void aModelOfAnotherKindIsRefused() {
        Outcome trained = nibble("train classify --steps 1 --quiet --set model.width=32 --set model.heads=2 --set"
                + " model.layers=1 --set data.sequence=16 --set data.batch=4 --quantizer fp32 --out @mails");
        assertEquals(0, trained.status(), trained.err());
        Outcome outcome = nibble("generate @mails");
        assertEquals(2, outcome.status());
        assertTrue(
                outcome.err()
                        .contains(
                                "is one of preset classify, whose models write no text, but must be one of preset text"),
                outcome.err());
    }

    @Test
    void ctrlCEndsTheText() {
        Interruption interruption = new Interruption();
        interruption.request();
        Outcome outcome = nibble(interruption, "generate @run");
        assertEquals(130, outcome.status());
        assertTrue(outcome.err().contains("interrupted after 0 tokens"), outcome.err());
    }
}
