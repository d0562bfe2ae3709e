package dev.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.models.safetensors.SafetensorsFile;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Averages of the weights, from the command line. */
class WeightsOptionTests {
    @TempDir
    static Path folder;

    private static String told = "";

    @BeforeAll
    static void train() {
        String tiny = "--set model.width=32 --set model.heads=2 --set model.layers=1 --set data.batch=4 --set"
                + " data.sequence=16 --set data.validationBatches=2 --steps 8 --set train.learningRate=0.03";
        Outcome trained = nibble("train " + tiny + " --quantizer fp32 --set train.ema=0.9 --out @run");
        assertEquals(0, trained.status(), trained.err());
        told = trained.out();
    }

    private static Outcome nibble(String command) {
        List<String> words = new ArrayList<>();
        for (String word : command.split(" ", -1)) {
            words.add(word.startsWith("@") ? folder.resolve(word.substring(1)).toString() : word);
        }
        return Outcome.of(new Interruption(), words.toArray(String[]::new));
    }

    private static float[] norm(String file, String name) {
        try (SafetensorsFile source = SafetensorsFile.open(folder.resolve(file))) {
            return source.floats(name);
        }
    }

    @Test
    void tableHasBothScores() {
        assertTrue(told.contains("validation loss (ema)"), told);
    }

    @Test
    void exportTakesTheAveragesUnlessTheWeightsAreAskedFor() {
        Outcome averages = nibble("export @run --out @averages.safetensors --json");
        Outcome weights = nibble("export @run --out @weights.safetensors --no-ema --json");
        assertEquals(0, averages.status(), averages.err());
        assertEquals(0, weights.status(), weights.err());
        assertTrue(averages.json().at("/averages").asBoolean());
        assertFalse(weights.json().at("/averages").asBoolean());
        String last = "run/checkpoints/step-000008/";
        assertArrayEquals(
                norm(last + "ema.safetensors", "norm.weight"), norm("averages.safetensors", "model.norm.weight"));
        assertArrayEquals(
                norm(last + "model.safetensors", "norm.weight"), norm("weights.safetensors", "model.norm.weight"));
        assertTrue(nibble("export @run --out @again.safetensors").out().contains("the averages (train.ema) of "));
    }

    @Test
    void generateReadsThemToo() {
        String command = "generate @run --prompt A --tokens 40 --temperature 3 --seed 1 --quiet";
        assertNotEquals(nibble(command).out(), nibble(command + " --no-ema").out());
        assertEquals(nibble(command).out(), nibble(command).out());
    }
}
