package dev.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class ListAndDoctorCommandTests {
    private static List<String> names(JsonNode array) {
        List<String> names = new ArrayList<>();
        array.forEach(entry -> names.add(entry.get("name").asText()));
        return names;
    }

    @Test
    void listHasTheFieldsThatScriptsReadIt() {
        JsonNode json = Outcome.of("list", "--json").json();
        assertTrue(names(json.get("quantizers"))
                .containsAll(List.of("fp32", "bf16", "int8-row", "int8-block", "int8-fallback", "fp8")));
        assertTrue(names(json.get("backends")).containsAll(List.of("reference", "cpu")));
        int options = 0;
        for (JsonNode quantizer : json.get("quantizers")) {
            assertTrue(quantizer.get("module").isTextual());
            for (JsonNode option : quantizer.get("options")) {
                options++;
                for (String field : List.of("name", "type", "default", "help")) {
                    assertTrue(option.get(field).isTextual(), field);
                }
                assertTrue(option.get("values").isArray());
            }
        }
        assertTrue(options > 0);
        for (JsonNode backend : json.get("backends")) {
            assertTrue(backend.get("available").isBoolean());
            assertTrue(backend.get("reason").isTextual());
        }
    }

    @Test
    void listForPeopleNamesEveryOptionWithItsDefault() {
        Outcome outcome = Outcome.of("list");
        assertEquals(0, outcome.status());
        assertTrue(outcome.out().contains("int8-block"));
        assertTrue(outcome.out().contains("(default "));
    }

    @Test
    void doctorSaysHowEachQuantizerRuns() {
        Outcome outcome = Outcome.of("doctor", "--json");
        assertEquals(0, outcome.status(), outcome.out());
        List<String> names = names(outcome.json().get("checks"));
        assertTrue(
                names.containsAll(List.of("jdk", "java heap", "backend reference", "backend auto", "quantizer fp32")),
                names.toString());
        for (JsonNode check : outcome.json().get("checks")) {
            assertTrue(
                    List.of("ok", "warn", "fail").contains(check.get("status").asText()), check.toString());
            assertTrue(!check.get("detail").asText().isEmpty());
        }
        JsonNode fp32 = null;
        for (JsonNode check : outcome.json().get("checks")) {
            fp32 = check.get("name").asText().equals("quantizer fp32") ? check : fp32;
        }
        assertTrue(fp32 != null && fp32.get("detail").asText().contains("kernel "), String.valueOf(fp32));
    }
}
