package dev.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class MemoryTableTests {
    @TempDir
    Path folder;

    private Outcome train(String quantizer) {
        return Outcome.of(
                "train",
                "--quantizer",
                quantizer,
                "--steps",
                "2",
                "--set",
                "model.layers=1",
                "--set",
                "model.width=64",
                "--set",
                "model.hidden=96",
                "--set",
                "data.batch=2",
                "--set",
                "data.validationBatches=1",
                "--out",
                folder.resolve("run").toString());
    }

    @Test
    void runTellsWhatItNeedsAndWhatItHeld() throws IOException {
        Outcome outcome = train("int8-fallback");
        assertEquals(0, outcome.status(), outcome.err());
        JsonNode record =
                new ObjectMapper().readTree(folder.resolve("run/run.json").toFile());
        JsonNode memory = record.get("memory");
        for (String kind :
                List.of("weights", "gradients", "optimizer", "state", "savedActivations", "codesAndWorkspace")) {
            assertTrue(memory.get(kind).get("predictedBytes").asLong() > 0, kind);
            assertEquals(
                    memory.get(kind).get("predictedBytes"), memory.get(kind).get("measuredBytes"), kind);
        }
        long saved = memory.get("savedActivations").get("predictedBytes").asLong();
        long peak = memory.get("peak").get("predictedBytes").asLong();
        assertEquals(record.get("savedActivationBytes").asLong(), saved);
        assertTrue(peak > saved && peak <= record.get("peakBytes").asLong(), memory.toString());
        long byTensor = 0;
        for (JsonNode bytes : memory.get("savedActivationsByTensor")) {
            byTensor += bytes.asLong();
        }
        assertEquals(saved, byTensor);
        String needs =
                "; needs about %s, %s of it saved activations".formatted(Figures.bytes(peak), Figures.bytes(saved));
        assertTrue(outcome.err().contains(needs), outcome.err());
        String html = Files.readString(folder.resolve("run/report.html"));
        assertTrue(html.contains("<h2>Memory</h2>"), "the section is there");
        assertTrue(
                html.contains("<td>saved activations</td><td>" + Figures.bytes(saved) + "</td>"),
                html.substring(0, 200));
        assertTrue(html.contains("<td>1.000</td>"), "predicted is measured");
    }

    @Test
    void runsWithoutAPredictionHaveNoSection() {
        assertEquals("", new MemoryTable(List.of()).html());
    }
}
