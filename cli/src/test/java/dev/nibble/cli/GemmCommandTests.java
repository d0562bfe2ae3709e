package dev.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.nibble.tensor.Shape;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class GemmCommandTests {
    @TempDir
    Path folder;

    private Path random(String name, int rows, int cols, long seed) {
        SplittableRandom random = new SplittableRandom(seed);
        float[] values = new float[rows * cols];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return NpyFiles.floats(folder, name, Shape.of(rows, cols), values);
    }

    private static JsonNode gemm(Path a, Path b, Path out, String product, String quantizer) {
        Outcome outcome = Outcome.of(
                "gemm",
                a.toString(),
                b.toString(),
                "--product",
                product,
                "--quantizer",
                quantizer,
                "--backend",
                "reference",
                "--out",
                out.toString(),
                "--json");
        assertEquals(0, outcome.status(), outcome.err());
        return outcome.json();
    }

    /**
     * One FP32 fma chain of K terms (gradWeight may add partial chains): each of at most K + 1 roundings changes the sum by
     * a factor within 1 ± u, u = 2^-24, so {@code |d - exact| <= g/(1-g) · Σ|a·b|} with g = (K + 1)·u. The FP64 sum's own
     * error is 2^-29 of that.
     */
    @ParameterizedTest
    @CsvSource({
        "1, 1, 1, output",
        "13, 127, 129, output",
        "128, 13, 127, gradInput",
        "129, 128, 13, gradWeight",
        "13, 7, 2500, gradWeight"
    })
    void fp32EqualsFp64WithinItsBound(int m, int n, int k, String product) throws IOException {
        Path fileA = random("a.npy", m, k, 1);
        Path fileB = random("b.npy", n, k, 2);
        Path out = folder.resolve("d.npy");
        JsonNode json = gemm(fileA, fileB, out, product, "fp32");
        NpyArray d = NpyArray.read(out);
        assertEquals(Shape.of(m, n), d.shape());
        float[] a = NpyArray.read(fileA).values();
        float[] b = NpyArray.read(fileB).values();
        double g = (k + 1) * 0x1p-24;
        double largest = 0;
        for (int row = 0; row < m; row++) {
            for (int col = 0; col < n; col++) {
                double exact = 0;
                double sizes = 0;
                for (int i = 0; i < k; i++) {
                    double term = (double) a[row * k + i] * b[col * k + i];
                    exact += term;
                    sizes += Math.abs(term);
                }
                double error = Math.abs(d.values()[row * n + col] - exact);
                assertTrue(error <= g / (1 - g) * sizes * (1 + 0x1p-20), row + ", " + col + ": " + error);
                largest = Math.max(largest, error);
            }
        }
        assertEquals(largest, json.get("maxError").asDouble(), 1e-12);
        assertTrue(json.get("relativeError").asDouble() <= 1e-5);
    }

    /** Small integers are exact in every format, so the three products must give the same matrix, in the same place. */
    @ParameterizedTest
    @CsvSource({"output, fp32", "gradInput, bf16", "gradWeight, bf16", "gradWeight, int8-row", "gradInput, int8-row"})
    void operandsEnterAsTheTableSays(String product, String quantizer) throws IOException {
        Path a = NpyFiles.floats(folder, "a.npy", Shape.of(2, 3), 1, 2, 127, 4, 127, 6);
        Path b = NpyFiles.floats(folder, "b.npy", Shape.of(4, 3), 127, 0, 1, 1, 127, 0, 0, 2, 127, 127, 127, 127);
        Path out = folder.resolve("d.npy");
        JsonNode json = gemm(a, b, out, product, quantizer);
        float[] expected = {254, 255, 16133, 16510, 514, 16133, 1016, 17399};
        assertEquals(Shape.of(2, 4), NpyArray.read(out).shape());
        // an int8 scale is 127 / 127 = 1 in each row of both operands, so the sums are exact here too
        assertArrayEquals(expected, NpyArray.read(out).values());
        assertEquals(0, json.get("relativeError").asDouble());
    }

    /**
     * With a transform the products of gradients are those of the transformed operand until they are taken back through it.
     * Forgotten, D has the same norm and next to nothing in common with the exact product: a relative error of about sqrt 2.
     * INT4 rounding of one operand and two digits of the other leave about 0.15, the error of W alone at a signal-to-noise
     * ratio of 16 to 20 dB.
     */
    @ParameterizedTest
    @CsvSource({
        "output, int4:sampling=none",
        "gradInput, int4:sampling=none",
        "gradWeight, int4:sampling=none",
        "gradWeight, int4:sampling=none;hadamard=search",
        "gradInput, int4:sampling=none;hadamard=none",
        "gradInput, luq:samplesGradInput=16",
        "gradWeight, luq:samplesGradWeight=16",
        "gradInput, fp8"
    })
    void productIsThatOfTheMatricesAsGiven(String product, String quantizer) {
        Path a = random("a.npy", 64, 128, 1);
        Path b = random("b.npy", 128, 128, 2);
        JsonNode json = gemm(a, b, folder.resolve("d.npy"), product, quantizer.replace(';', ','));
        double error = json.get("relativeError").asDouble();
        assertTrue(error < 0.3, "relative error is " + error);
    }

    @Test
    void reportNamesWhatRan() {
        Path x = random("x.npy", 13, 128, 3);
        JsonNode json = gemm(x, x, folder.resolve("d.npy"), "output", "int8-row");
        for (String name : List.of("requestedFormat", "storedFormat", "kernel", "computeType", "reason")) {
            assertTrue(json.get(name).isTextual(), name);
        }
        assertEquals("int8 x int8", json.get("requestedFormat").asText());
        assertEquals("int8 x int8", json.get("storedFormat").asText());
        double error = json.get("relativeError").asDouble();
        // rounding noise of both operands: each about scale/sqrt(12) = amax/(127·3.46), amax about 2.7 sigma in a row
        assertTrue(error > 1e-4 && error < 0.05, "relative error is " + error);
    }

    @Test
    void meanOfManyDrawsIsNearerThanOne() {
        Path a = random("a.npy", 13, 128, 4);
        Path b = random("b.npy", 29, 128, 5);
        double one = gemm(a, b, folder.resolve("d.npy"), "gradInput", "int8-row")
                .get("relativeError")
                .asDouble();
        Outcome many = Outcome.of(
                "gemm",
                a.toString(),
                b.toString(),
                "--product",
                "gradInput",
                "--quantizer",
                "int8-row",
                "--samples",
                "16",
                "--backend",
                "reference",
                "--json");
        assertTrue(many.json().get("relativeError").asDouble() < one, many.out());
    }
}
