package dev.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.List;
import org.junit.jupiter.api.Test;

class BenchCommandTests {
    private static Outcome bench(String... more) {
        String[] fixed = {"bench", "--size", "48", "--pairs", "1", "--warm-up", "0", "--quiet"};
        String[] words = java.util.Arrays.copyOf(fixed, fixed.length + more.length);
        System.arraycopy(more, 0, words, fixed.length, more.length);
        return Outcome.of(words);
    }

    @Test
    void productsHaveARowForEachFormatAndTwoForScaling() {
        Outcome outcome = bench("--only", "products", "--json");
        assertEquals(0, outcome.status(), outcome.err());
        JsonNode json = outcome.json();
        assertTrue(json.get("machine").get("java").isTextual());
        assertTrue(json.get("rows").size() >= 10, json.toString()); // fp32 alone needs another base line than itself
        for (JsonNode row : json.get("rows")) {
            for (String field : List.of("operation", "format", "shape", "baseline")) {
                assertTrue(row.get(field).isTextual(), field);
            }
            double lowest = row.get("spread").get(0).asDouble();
            double highest = row.get("spread").get(1).asDouble();
            double ratio = row.get("ratio").asDouble();
            assertTrue(0 < lowest && lowest <= ratio && ratio <= highest, row.toString());
            assertTrue(row.get("medianNanos").asDouble() > 0);
            assertEquals("48x48x48", row.get("shape").asText());
        }
    }

    @Test
    void layersHaveARowForEachQuantizer() {
        Outcome outcome = bench("--only", "layers", "--backend", "cpu-portable");
        assertEquals(0, outcome.status(), outcome.err());
        for (String quantizer : List.of("int8-fallback", "luq", "int4", "fp8")) {
            assertTrue(outcome.out().contains("| linear layer, both passes | " + quantizer + " | "), outcome.out());
        }
        assertTrue(outcome.out().contains("cpu-portable fp32"), outcome.out());
    }

    @Test
    void whatIsWrongIsToldTogether() {
        Outcome outcome = bench("--only", "steps,none", "--threads", "0");
        assertEquals(2, outcome.status());
        assertTrue(outcome.err().contains("--only is 'none'"), outcome.err());
        assertTrue(outcome.err().contains("--threads is 0"), outcome.err());
    }
}
