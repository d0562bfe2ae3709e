package dev.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class RecipeCommandTests {
    private static final String TINY = """
            preset: text
            quantizer: bf16
            model: {width: 32, heads: 2, hidden: 48, layers: 1}
            data: {batch: 2, sequence: 16, validationBatches: 1}
            train: {steps: 2, warmup: 1}
            """;

    @TempDir
    Path folder;

    private String file(String text) throws IOException {
        return Files.writeString(folder.resolve("my.yaml"), text).toString();
    }

    @Test
    void aPrintedPresetIsReadBackAsItIs() throws IOException {
        for (String preset : List.of("text", "images")) {
            Outcome printed = Outcome.of("recipe", preset);
            assertEquals(0, printed.status(), printed.err());
            Outcome again = Outcome.of("recipe", file(printed.out()));
            assertEquals(0, again.status(), again.err());
            assertEquals(printed.out(), again.out());
            assertEquals(
                    printed.out(),
                    Outcome.of("recipe", preset, "--json").json().at("/recipe").asText());
        }
    }

    @Test
    void optionsReplaceWhatTheFileSays() throws IOException {
        String text = Outcome.of(
                        "recipe",
                        file(TINY),
                        "--quantizer",
                        "fp8:scaling=row",
                        "--seed",
                        "5",
                        "--steps",
                        "9",
                        "--set",
                        "model.layers=3",
                        "--set",
                        "layers.head=bf16",
                        "--nonfinite",
                        "skip",
                        "--threads",
                        "2",
                        "--backend",
                        "reference",
                        "--data",
                        "book.txt",
                        "--strict")
                .out();
        for (String line : List.of(
                "quantizer: \"fp8:scaling=row\"",
                "seed: 5 ",
                "  steps: 9 ",
                "  layers: 3 ",
                "  \"head\": bf16",
                "nonfinite: skip",
                "threads: 2",
                "backend: reference",
                "  path: book.txt",
                "strict: true",
                "  width: 32 ")) {
            assertTrue(text.contains("\n" + line), line + " in " + text);
        }
    }

    @Test
    void trainRunsARecipeAndItsStoredOneAgain() throws IOException {
        Path first = folder.resolve("first");
        Outcome trained =
                Outcome.of("train", file(TINY), "--set", "train.steps=3", "--out", first.toString(), "--json");
        assertEquals(0, trained.status(), trained.err());
        assertEquals("bf16", trained.json().get("quantizer").asText());
        assertEquals(3, trained.json().get("steps").asInt());
        Path second = folder.resolve("second");
        Outcome repeated =
                Outcome.of("train", first.resolve("recipe.yaml").toString(), "--out", second.toString(), "--json");
        assertEquals(0, repeated.status(), repeated.err());
        String model = "checkpoints/step-000003/model.safetensors";
        assertEquals(-1, Files.mismatch(first.resolve(model), second.resolve(model)));
        Outcome resumed = Outcome.of(
                "train", second.resolve("recipe.yaml").toString(), "--out", first.toString(), "--resume", "--json");
        assertEquals(0, resumed.status(), resumed.err());
    }

    @Test
    void compareTakesTheRecipesQuantizerAndFp32() throws IOException {
        Outcome compared =
                Outcome.of("compare", file(TINY), "--out", folder.resolve("out").toString(), "--json", "--quiet");
        assertEquals(0, compared.status(), compared.err());
        assertEquals("fp32", compared.json().at("/runs/0/quantizer").asText());
        assertEquals("bf16", compared.json().at("/runs/1/quantizer").asText());
        assertEquals(2, compared.json().get("runs").size());
    }

    @Test
    void allMistakesOfFileAndOptionsAreToldAtOnceAndNothingIsWritten() throws IOException {
        Path out = folder.resolve("out");
        String recipe = file("preset: text\nquantizer: bf61\ndata: {batch: 0}\ntrain: {clip: 0}\n");
        Outcome outcome =
                Outcome.of("train", recipe, "--set", "model.heads=3", "--steps", "0", "--out", out.toString());
        assertEquals(2, outcome.status());
        assertEquals(1, outcome.err().lines().count(), outcome.err());
        for (String part : List.of(
                recipe + ":2: no quantizer is named 'bf61'",
                recipe + ":3: setting data.batch is 0",
                recipe + ":4: train.clip is 0.0, but must be above 0",
                "--steps is 0",
                "width is 256, but must be a multiple of 2 x heads = 6")) {
            assertTrue(outcome.err().contains(part), part + " in " + outcome.err());
        }
        assertFalse(Files.exists(out));
    }

    @Test
    void aFileThatIsNotThereIsAFailureAndNotAMisuse() {
        Outcome outcome = Outcome.of("train", folder.resolve("no.yaml").toString());
        assertEquals(1, outcome.status());
        assertTrue(outcome.err().contains("no.yaml does not exist"), outcome.err());
    }
}
