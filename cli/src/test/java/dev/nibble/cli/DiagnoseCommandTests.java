package dev.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class DiagnoseCommandTests {
    @TempDir
    static Path folder;

    private static String run;
    private static String text;

    @BeforeAll
    static void train() throws IOException {
        text = Files.writeString(
                        folder.resolve("book.txt"), "All work and no play makes Jack a dull boy.\n".repeat(200))
                .toString();
        run = folder.resolve("run").toString();
        String recipe = Files.writeString(folder.resolve("tiny.yaml"), """
                        preset: text
                        quantizer: int8-row
                        layers: {"blocks.0.mlp.down": bf16, "blocks.0.attn.out": luq}
                        model: {width: 32, heads: 2, hidden: 48, layers: 1}
                        data: {batch: 4, sequence: 16, validationBatches: 1}
                        train: {steps: 3, warmup: 1}
                        """).toString();
        Outcome outcome = Outcome.of("train", recipe, "--data", text, "--out", run, "--quiet");
        assertEquals(0, outcome.status(), outcome.err());
    }

    private static JsonNode diagnose(String... more) {
        String[] words = new String[3 + more.length];
        System.arraycopy(new String[] {"diagnose", run, "--json"}, 0, words, 0, 3);
        System.arraycopy(more, 0, words, 3, more.length);
        Outcome outcome = Outcome.of(words);
        assertEquals(0, outcome.status(), outcome.err());
        return outcome.json();
    }

    private static Map<String, JsonNode> byName(JsonNode rows, String second) {
        Map<String, JsonNode> byName = new HashMap<>();
        rows.forEach(row ->
                byName.put(row.get("layer").asText() + " " + row.get(second).asText(), row));
        return byName;
    }

    @Test
    void theWorstProductComesFirst() {
        JsonNode json = diagnose();
        assertEquals(3, json.get("step").asInt());
        assertEquals(5 * 3, json.get("products").size(), "four projections and the head, three products each");
        double last = Double.NEGATIVE_INFINITY;
        for (JsonNode row : json.get("products")) {
            double snr = row.get("snrDb").asDouble();
            assertTrue(snr >= last, json.toPrettyString());
            last = snr;
        }
        assertEquals("blocks.0.attn.out", json.at("/products/0/layer").asText(), "the only one in 4 bits");
        assertTrue(json.at("/products/0/quantizer").asText().startsWith("luq:"));
    }

    /** Row scales of INT8: an error of at most half a step each, so 40 dB and more for operands that are not sparse. */
    @Test
    void figuresAreThoseOfTheFormats() {
        Map<String, JsonNode> products = byName(diagnose().get("products"), "product");
        double fp32 = products.get("head output").get("snrDb").asDouble();
        double bf16 = products.get("blocks.0.mlp.down output").get("snrDb").asDouble();
        double int8 = products.get("blocks.0.attn.qkv output").get("snrDb").asDouble();
        assertTrue(fp32 > 120, "24 bits: " + fp32);
        assertTrue(bf16 > 45 && bf16 < 70, "8 bits and an exponent: " + bf16);
        assertTrue(int8 > 30 && int8 < 60, "8 bits: " + int8);
        assertEquals(1, products.get("head output").get("cosine").asDouble(), 1e-9);
    }

    @Test
    void operandsHaveTheFiguresOfInspect() {
        JsonNode json = diagnose("--samples", "8");
        Map<String, JsonNode> operands = byName(json.get("operands"), "role");
        assertEquals(5 * 3, operands.size());
        JsonNode gradient = operands.get("blocks.0.attn.qkv gradOutput");
        assertEquals(4 * 16 * 96, gradient.get("elements").asInt());
        assertTrue(gradient.get("amax").asDouble() > 0);
        double bias = Math.abs(gradient.get("bias").asDouble());
        assertTrue(
                bias <= 5 * gradient.get("standardError").asDouble(), "stochastic rounding has no bias: " + gradient);
        JsonNode weight = operands.get("blocks.0.attn.qkv weight");
        assertEquals(0, weight.get("saturated").asInt());
        assertEquals(32 * 96, weight.get("elements").asInt());
    }

    @Test
    void anotherQuantizerIsShownBesideTheRuns() {
        JsonNode json = diagnose("--quantizer", "fp32");
        for (JsonNode row : json.get("products")) {
            assertEquals("fp32", row.at("/whatIf/quantizer").asText());
            assertTrue(row.at("/whatIf/snrDb").asDouble() > 120, row.toString());
        }
        Outcome outcome = Outcome.of("diagnose", run, "--quantizer", "fp8", "--top", "2");
        assertEquals(0, outcome.status(), outcome.err());
        assertTrue(outcome.out().contains("snr dB under fp8"), outcome.out());
        assertTrue(outcome.out().contains("--json has all of them"), outcome.out());
        assertFalse(outcome.out().contains("head"), "two rows are shown: " + outcome.out());
    }

    @Test
    void theCheckpointIsNotChanged() throws IOException {
        Path model = Path.of(run, "checkpoints/step-000003/model.safetensors");
        byte[] before = Files.readAllBytes(model);
        diagnose();
        assertEquals(-1, java.util.Arrays.mismatch(before, Files.readAllBytes(model)));
        assertEquals(diagnose().toString(), diagnose().toString(), "the same figures each time");
    }

    @Test
    void otherDataIsRefused() throws IOException {
        String other = Files.writeString(folder.resolve("other.txt"), "Something else entirely.\n".repeat(400))
                .toString();
        Outcome outcome = Outcome.of("diagnose", run, "--data", other);
        assertEquals(1, outcome.status());
        assertTrue(outcome.err().contains("had other contents"), outcome.err());
    }

    @Test
    void whatIsWrongIsTold() {
        Outcome outcome = Outcome.of("diagnose", run, "--quantizer", "fp9", "--samples", "0", "--top", "0");
        assertEquals(2, outcome.status());
        for (String part : new String[] {"'fp9'", "--samples is 0", "--top is 0"}) {
            assertTrue(outcome.err().contains(part), outcome.err());
        }
        assertEquals(1, Outcome.of("diagnose", text).status());
        assertEquals(2, Outcome.of("diagnose").status());
    }
}
