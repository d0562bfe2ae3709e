package dev.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.nibble.tensor.Shape;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class InspectCommandTests {
    @TempDir
    Path folder;

    private JsonNode inspect(Path file, String... more) {
        String[] words = new String[more.length + 5];
        words[0] = "inspect";
        words[1] = file.toString();
        words[2] = "--json";
        words[3] = "--backend";
        words[4] = "reference";
        System.arraycopy(more, 0, words, 5, more.length);
        Outcome outcome = Outcome.of(words);
        assertEquals(0, outcome.status(), outcome.err());
        assertEquals("", outcome.err());
        return outcome.json();
    }

    private static byte[] data(Path npy) throws IOException {
        byte[] bytes = Files.readAllBytes(npy);
        int header = (bytes[8] & 0xFF) | ((bytes[9] & 0xFF) << 8);
        return Arrays.copyOfRange(bytes, 10 + header, bytes.length);
    }

    private static String header(Path npy) throws IOException {
        byte[] bytes = Files.readAllBytes(npy);
        int length = (bytes[8] & 0xFF) | ((bytes[9] & 0xFF) << 8);
        return new String(bytes, 10, length, StandardCharsets.ISO_8859_1);
    }

    private static float[] random(int length, long seed) {
        SplittableRandom random = new SplittableRandom(seed);
        float[] values = new float[length];
        for (int i = 0; i < length; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return values;
    }

    @Test
    void fp32ChangesNothing() {
        JsonNode json = inspect(NpyFiles.floats(folder, "x.npy", Shape.of(2, 2), 1, -2, 0, 3), "--quantizer", "fp32");
        assertTrue(json.get("snrDb").isNull(), "infinite");
        assertEquals(1, json.get("cosine").asDouble(), 1e-15);
        assertEquals(0, json.get("meanRelativeError").asDouble());
        assertEquals(0, json.get("zeros").asLong());
        assertEquals(0, json.get("saturated").asLong());
        assertEquals(0, json.get("bias").asDouble());
        assertEquals(0, json.get("scales").asLong());
    }

    /** bf16 has 8 significant bits: 1 + 2^-9 becomes 1, 1 + 3·2^-9 becomes 1 + 2^-7, the others stay. */
    @Test
    void bf16MetricsAreThoseComputedByHand() {
        float a = 1 + 0x1p-9f;
        float b = 1 + 3 * 0x1p-9f;
        JsonNode json = inspect(NpyFiles.floats(folder, "x.npy", Shape.of(4), a, b, 0, -4), "--quantizer", "bf16");
        double noise = 0x1p-18 + 0x1p-18;
        double signal = (double) a * a + (double) b * b + 16;
        assertEquals(10 * Math.log10(signal / noise), json.get("snrDb").asDouble(), 1e-9);
        assertEquals(
                (0x1p-9 / a + 0x1p-9 / b) / 3, json.get("meanRelativeError").asDouble(), 1e-15);
        assertEquals(0, json.get("bias").asDouble(), 1e-18);
        double q2 = 1 + (1 + 0x1p-7) * (1 + 0x1p-7) + 16;
        double xq = a + b * (1 + 0x1p-7) + 16;
        assertEquals(xq / Math.sqrt(signal * q2), json.get("cosine").asDouble(), 1e-14);
    }

    /** Scale 1: codes 127, -64, 0, 0 and 64, 0, -127, 2. */
    @Test
    void int8RowMetricsAreThoseComputedByHand() throws IOException {
        float[] x = {127, -64.375f, 0.25f, 0, 64, 0.5f, -127, 2.25f};
        Path codes = folder.resolve("codes.npy");
        Path out = folder.resolve("q.npy");
        JsonNode json = inspect(
                NpyFiles.floats(folder, "x.npy", Shape.of(2, 4), x),
                "--quantizer",
                "int8-row",
                "--codes",
                codes.toString(),
                "--out",
                out.toString());
        double signal = 0;
        for (float v : x) {
            signal += (double) v * v;
        }
        double noise = 0.375 * 0.375 + 0.25 * 0.25 + 0.5 * 0.5 + 0.25 * 0.25;
        assertEquals(10 * Math.log10(signal / noise), json.get("snrDb").asDouble(), 1e-9);
        assertEquals(2, json.get("zeros").asLong());
        assertEquals(0, json.get("saturated").asLong());
        assertEquals(2, json.get("scales").asLong());
        assertEquals((0.375 - 0.25 - 0.5 - 0.25) / 8, json.get("bias").asDouble(), 1e-15);
        assertEquals(
                (0.375 / 64.375 + 1 + 1 + 0.25 / 2.25) / 7,
                json.get("meanRelativeError").asDouble(),
                1e-12);
        assertArrayEquals(new byte[] {127, -64, 0, 0, 64, 0, -127, 2}, data(codes));
        assertTrue(header(codes).contains("'|i1'") && header(codes).contains("(2, 4)"), header(codes));
        assertArrayEquals(
                new float[] {127, -64, 0, 0, 64, 0, -127, 2}, NpyArray.read(out).values());
        long counted = 0;
        for (JsonNode bin : json.get("histogram")) {
            counted += bin.get("count").asLong();
        }
        assertEquals(8, counted);
    }

    /** The largest of a row makes the scale; dividing it by that scale may round to just above 127. */
    @Test
    void elementThatMadeTheScaleDoesNotCountAsSaturated() {
        for (int i = 1; i <= 200; i++) {
            NpyArray x = new NpyArray(Shape.of(1, 1), new float[] {i * 0.1f});
            Path file = NpyFiles.floats(folder, "x.npy", x.shape(), x.values());
            assertEquals(
                    0, inspect(file, "--quantizer", "int8-row").get("saturated").asLong(), "x is " + i * 0.1f);
        }
    }

    /** Below 2^-120 the multiplier of fp8 ends at the largest FP32, and its reciprocal, the scale, is subnormal. */
    @Test
    void elementThatMadeASubnormalScaleDoesNotCountAsSaturated() {
        SplittableRandom random = new SplittableRandom(2);
        for (int i = 0; i < 300; i++) {
            float x = (float) Math.scalb(1 + random.nextDouble(), -130 + i / 10);
            Path file = NpyFiles.floats(folder, "x.npy", Shape.of(1), x);
            assertEquals(0, inspect(file, "--quantizer", "fp8").get("saturated").asLong(), "x is " + x);
        }
    }

    /** Without the bound on what rounding explains, a value above the top code is found: bf16 stops at 2^128 - 2^120. */
    @Test
    void elementAboveTheTopCodeCountsAsSaturated() {
        float top = 0x1.fep127f;
        Path file = NpyFiles.floats(folder, "x.npy", Shape.of(3), 1, top, top + 0x1p118f);
        assertEquals(1, inspect(file, "--quantizer", "bf16").get("saturated").asLong());
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 13, 127, 128, 129})
    void otherRanksAreTheFlattenedMatrix(int extent) throws IOException {
        float[] x = random(2 * 3 * extent, 7);
        Path flat = NpyFiles.floats(folder, "flat.npy", Shape.of(6, extent), x);
        Path cube = NpyFiles.floats(folder, "cube.npy", Shape.of(2, 3, extent), x);
        Path outFlat = folder.resolve("outFlat.npy");
        Path outCube = folder.resolve("outCube.npy");
        JsonNode a = inspect(flat, "--quantizer", "int8-row", "--out", outFlat.toString());
        JsonNode b = inspect(cube, "--quantizer", "int8-row", "--out", outCube.toString());
        assertEquals(a.get("snrDb"), b.get("snrDb"));
        assertEquals(6, b.get("scales").asLong());
        assertEquals(Shape.of(2, 3, extent), NpyArray.read(outCube).shape());
        assertArrayEquals(
                NpyArray.read(outFlat).values(), NpyArray.read(outCube).values());
    }

    /** A residual plane makes the codes [2, ...], and its blocks bring scales of their own. */
    @Test
    void fallbackWritesTwoPlanes() throws IOException {
        float[] x = random(64 * 64, 3);
        x[5] = 1000;
        Path codes = folder.resolve("codes.npy");
        JsonNode json = inspect(
                NpyFiles.floats(folder, "x.npy", Shape.of(64, 64), x),
                "--quantizer",
                "int8-fallback:block=16x16",
                "--codes",
                codes.toString());
        assertTrue(header(codes).contains("(2, 64, 64)"), header(codes));
        assertEquals(2 * 64 * 64, data(codes).length);
        long scales = json.get("scales").asLong();
        assertTrue(scales > 16 && scales <= 32, "16 blocks, and some have a residual, but scales is " + scales);
        byte[] residual = Arrays.copyOfRange(data(codes), 64 * 64, 2 * 64 * 64);
        assertNotEquals(
                0, residual[0] | residual[1] | residual[2] | residual[17], "the outlier's block has a residual");
    }

    /**
     * Stochastic rounding is unbiased: |bias| is at most 5 standard errors. A deterministic rounding of values that all lie
     * a quarter above a code is the control: its bias is 0.25 steps, and it is found.
     */
    @Test
    void stochasticRoundingIsUnbiasedAndNearestIsNot() {
        float[] x = new float[13 * 128];
        Arrays.fill(x, 3.25f);
        for (int row = 0; row < 13; row++) {
            x[row * 128] = 127;
        }
        Path file = NpyFiles.floats(folder, "x.npy", Shape.of(13, 128), x);
        JsonNode stochastic = inspect(file, "--quantizer", "int8-row", "--role", "gradOutput", "--samples", "32");
        double error = stochastic.get("standardError").asDouble();
        // one draw of one element has variance 0.25 · 0.75
        double expected = Math.sqrt(0.1875 * 13 * 127 / 32) / (13 * 128);
        assertEquals(expected, error, 0.05 * expected, "5 % is 5 standard errors of a variance from 1651 · 31 samples");
        assertTrue(Math.abs(stochastic.get("bias").asDouble()) <= 5 * error, stochastic.toString());
        JsonNode nearest = inspect(file, "--quantizer", "int8-row", "--role", "input", "--samples", "2");
        assertEquals(-0.25 * 127 / 128, nearest.get("bias").asDouble(), 1e-12);
        assertEquals(0, nearest.get("standardError").asDouble());
    }

    @Test
    void drawsDependOnTheSeedAlone() throws IOException {
        Path file = NpyFiles.floats(folder, "x.npy", Shape.of(13, 129), random(13 * 129, 1));
        Path first = folder.resolve("1.npy");
        Path second = folder.resolve("2.npy");
        Path third = folder.resolve("3.npy");
        String[] command = {"--quantizer", "int8-row", "--role", "gradOutput", "--codes"};
        inspect(file, append(command, first.toString()));
        inspect(file, append(command, second.toString()));
        inspect(file, append(command, third.toString(), "--seed", "1"));
        assertArrayEquals(data(first), data(second));
        assertNotEquals(Arrays.hashCode(data(first)), Arrays.hashCode(data(third)));
    }

    private static String[] append(String[] words, String... more) {
        String[] all = Arrays.copyOf(words, words.length + more.length);
        System.arraycopy(more, 0, all, words.length, more.length);
        return all;
    }

    @Test
    void zeroTensorHasNoRatios() {
        JsonNode json = inspect(NpyFiles.floats(folder, "x.npy", Shape.of(3), 0, -0f, 0), "--quantizer", "int8-row");
        for (String name : List.of("snrDb", "cosine", "meanRelativeError")) {
            assertTrue(json.get(name).isNull(), name);
        }
        assertEquals(0, json.get("zeros").asLong());
    }

    @Test
    void fp8CodesAreBitPatterns() throws IOException {
        Path codes = folder.resolve("codes.npy");
        Path file = NpyFiles.floats(folder, "x.npy", Shape.of(1, 3), 448, -224, 0);
        inspect(file, "--quantizer", "fp8", "--codes", codes.toString());
        assertTrue(header(codes).contains("'|u1'"), header(codes));
        // E4M3 at scale 1: 448 = 2^8 · 1.75 is 0 1111 110; -224 = -2^7 · 1.75 is 1 1110 110
        assertArrayEquals(new byte[] {0x7E, (byte) 0xF6, 0}, data(codes));
    }

    @Test
    void peopleGetATableAndAHistogram() {
        Path file = NpyFiles.floats(folder, "x.npy", Shape.of(4, 16), random(64, 5));
        Outcome outcome = Outcome.of("inspect", file.toString(), "--quantizer", "int8-row", "--backend", "reference");
        assertEquals(0, outcome.status(), outcome.err());
        assertTrue(outcome.out().contains("signal to noise"), outcome.out());
        assertTrue(outcome.out().contains("#"), outcome.out());
    }
}
