package dev.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ErrorsEveryTests {
    private static final String TINY = "train --backend reference --quantizer int8-row --quiet"
            + " --set model.width=16 --set model.heads=2 --set model.hidden=16 --set model.layers=1 --set data.batch=2"
            + " --set data.sequence=8 --set data.validationBatches=1 --set train.microBatches=2 --set layers.*.down=fp32";

    @TempDir
    Path folder;

    private Outcome train(String out, String... more) {
        List<String> words = new ArrayList<>(List.of(TINY.split(" ", -1)));
        words.addAll(List.of("--out", folder.resolve(out).toString()));
        words.addAll(List.of(more));
        if (!words.contains("--steps")) {
            words.addAll(List.of("--steps", "5"));
        }
        return Outcome.of(words.toArray(String[]::new));
    }

    /** {@return steps and losses} */
    private List<String> losses(String out) throws IOException {
        return Files.readAllLines(folder.resolve(out).resolve("metrics.csv")).stream()
                .map(line -> String.join(",", List.of(line.split(",", -1)).subList(0, 4)))
                .toList();
    }

    @Test
    void errorsAreMeasuredEverySoManyStepsAndChangeNoNumber() throws IOException {
        assertEquals(0, train("plain").status());
        Outcome outcome = train("measured", "--errors-every", "2");
        assertEquals(0, outcome.status(), outcome.err());
        assertEquals(losses("plain"), losses("measured"));
        assertFalse(Files.exists(folder.resolve("plain/errors.csv")));
        List<String> rows = Files.readAllLines(folder.resolve("measured/errors.csv"));
        assertEquals("step,layer,part,snrDb,cosine,zeros,saturated,amax,bias,standardError", rows.getFirst());
        // steps 0, 2 and 4; three layers with three operands and three products, and the operands of two in FP32
        assertEquals(1 + 3 * (3 * 6 + 2 * 3), rows.size());
        List<String> first = List.of(rows.get(1).split(",", -1));
        assertEquals(List.of("0", "blocks.0.attn.qkv", "input"), first.subList(0, 3));
        double snr = Double.parseDouble(first.get(3));
        assertTrue(snr > 30 && snr < 60, rows.get(1)); // 8 bits, one scale a row: about 6 dB a bit, less the row's peak
        double bias = Double.parseDouble(first.get(8));
        assertTrue(
                Math.abs(bias) < 5 * Double.parseDouble(first.get(9)),
                rows.get(1)); // half to even: as often up as down
        List<String> product = rows.stream()
                .filter(row -> row.startsWith("0,blocks.0.attn.qkv,output,"))
                .map(row -> List.of(row.split(",", -1)))
                .findFirst()
                .orElseThrow();
        // the noise of X and that of W add up, if that of W is about as large: 3 dB, here between 0 and 10
        assertTrue(
                Double.parseDouble(product.get(3)) < snr && Double.parseDouble(product.get(3)) > snr - 10,
                product::toString);
        assertTrue(Double.parseDouble(product.get(4)) > 0.999, product::toString);
        assertEquals(List.of("", "", "", "", ""), product.subList(5, 10));
        assertTrue(rows.stream().anyMatch(row -> row.matches("4,blocks\\.0\\.mlp\\.down,gradOutput,,.*")), "exact");
        assertTrue(Files.readString(folder.resolve("measured/report.html")).contains("id=\"errors\""));
        assertFalse(Files.readString(folder.resolve("plain/report.html")).contains("id=\"errors\""));
    }

    @Test
    void runThatGoesOnKeepsWhatWasMeasured() throws IOException {
        String[] every = {"--errors-every", "2", "--resume"};
        assertEquals(0, train("run", every).status());
        List<String> before = Files.readAllLines(folder.resolve("run/errors.csv"));
        Outcome on = train("run", "--errors-every", "2", "--resume", "--steps", "9");
        assertEquals(0, on.status(), on.err());
        List<String> after = Files.readAllLines(folder.resolve("run/errors.csv"));
        assertEquals(before, after.subList(0, before.size()));
        assertEquals(1 + 5 * (3 * 6 + 2 * 3), after.size(), "steps 0, 2, 4, 6 and 8");
        assertEquals(0, train("run").status());
        assertFalse(Files.exists(folder.resolve("run/errors.csv")), "it was of another run");
    }

    @Test
    void negativeNumberIsRefused() {
        Outcome outcome = train("none", "--errors-every", "-1");
        assertEquals(2, outcome.status());
        assertTrue(outcome.err().contains("--errors-every is -1, but must be 0 (never) or more"), outcome.err());
        assertFalse(Files.exists(folder.resolve("none")));
    }
}
