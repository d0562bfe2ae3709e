package dev.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Nibbles;
import dev.nibble.tensor.Shape;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Codes of 4-bit formats, digits, samples and transforms, as the files show them. */
class InspectFormatsTests {
    private static final int ROWS = 13;
    private static final int COLS = 128;
    private static final int ELEMENTS = ROWS * COLS;
    private static final int HEADER = 128; // bytes that NpyWriter puts before the elements of a small array

    @TempDir
    Path folder;

    /**
     * What inspect wrote.
     *
     * @param json the figures
     * @param header of the codes
     * @param codes of all planes, [planes · elements]
     * @param out what they mean, [elements]
     */
    private record Result(JsonNode json, String header, byte[] codes, float[] out) {}

    private Result inspect(String quantizer, String role, float... x) throws IOException {
        Path file = NpyFiles.floats(folder, "x.npy", Shape.of(ROWS, COLS), x);
        Path codes = folder.resolve("codes.npy");
        Path out = folder.resolve("q.npy");
        List<String> words = new ArrayList<>(List.of("inspect", file.toString(), "--json", "--quantizer", quantizer));
        words.addAll(List.of("--role", role, "--codes", codes.toString(), "--out", out.toString()));
        Outcome outcome = Outcome.of(words.toArray(String[]::new));
        assertEquals(0, outcome.status(), outcome.err());
        byte[] bytes = Files.readAllBytes(codes);
        return new Result(
                outcome.json(),
                new String(bytes, 10, HEADER - 10, StandardCharsets.US_ASCII),
                Arrays.copyOfRange(bytes, HEADER, bytes.length),
                NpyArray.read(out).values());
    }

    private static float[] random(long seed) {
        SplittableRandom random = new SplittableRandom(seed);
        float[] x = new float[ELEMENTS];
        for (int i = 0; i < ELEMENTS; i++) {
            x[i] = (float) random.nextGaussian();
        }
        return x;
    }

    private static float amax(float[] x) {
        float amax = 0;
        for (float value : x) {
            amax = Math.max(amax, Math.abs(value));
        }
        return amax;
    }

    private static void requireCodes(byte[] codes, int low, int high) {
        for (byte code : codes) {
            assertTrue(code >= low && code <= high, "code " + code);
        }
    }

    /** The upper digit is -7..7 at 16 · amax/119, the lower one -8..7 at amax/119; both are sign-extended bytes. */
    @Test
    void gradientOfInt4IsTwoSignedDigits() throws IOException {
        float[] x = random(1);
        Result result = inspect("int4", "gradOutput", x);
        assertTrue(result.header().contains(NpyFiles.dictionary("|i1", "(2, 13, 128)")), result.header());
        byte[] upper = Arrays.copyOf(result.codes(), ELEMENTS);
        byte[] lower = Arrays.copyOfRange(result.codes(), ELEMENTS, 2 * ELEMENTS);
        requireCodes(upper, -7, 7);
        requireCodes(lower, -8, 7);
        float scale = amax(x) / 119;
        float[] expected = new float[ELEMENTS];
        for (int i = 0; i < ELEMENTS; i++) {
            expected[i] = Math.fma(scale, lower[i], Math.fma(16 * scale, upper[i], 0));
        }
        assertArrayEquals(expected, result.out());
        assertEquals("int4+int4", result.json().get("format").asText());
        assertEquals(2, result.json().get("scales").asLong());
        assertEquals(0, result.json().get("saturated").asLong());
    }

    /** Mode R maps amax to 98, but two digits of at most 6 reach 90. */
    @Test
    void releasedSplitSaturates() throws IOException {
        float[] x = random(1);
        float scale = amax(x) / 98;
        long beyond = 0;
        for (float value : x) {
            beyond += Math.abs(value) > 90.0 * scale ? 1 : 0;
        }
        assertTrue(beyond > 0);
        assertEquals(
                beyond,
                inspect("int4:split=r", "gradOutput", x).json().get("saturated").asLong());
    }

    /**
     * Codes are 0 and ±2^(k-1) at amax/64; an operand of N samples means their average, summed in their order. Bit patterns:
     * a nibble sign · 8 + k, of which 8 does not occur.
     */
    @ParameterizedTest
    @ValueSource(ints = {1, 4})
    void gradientOfLuqIsBitPatternsOfEachSample(int samples) throws IOException {
        float[] x = random(2);
        Result result = inspect("luq:samplesGradInput=" + samples, "gradOutput", x);
        String shape = samples == 1 ? "(13, 128)" : "(" + samples + ", 13, 128)";
        assertTrue(result.header().contains(NpyFiles.dictionary("|u1", shape)), result.header());
        requireCodes(result.codes(), 0, 15);
        float scale = amax(x) / 64;
        float[] expected = new float[ELEMENTS];
        for (int sample = 0; sample < samples; sample++) {
            for (int i = 0; i < ELEMENTS; i++) {
                int code = result.codes()[sample * ELEMENTS + i];
                assertTrue(code != 8, "zero has no sign");
                expected[i] = Math.fma(1f / samples * scale, Nibbles.value(DType.E3M0, code), expected[i]);
            }
        }
        assertArrayEquals(expected, result.out());
        long bins = result.json().get("histogram").size();
        assertTrue(bins <= 8, "0 and seven powers, but " + bins);
    }

    @Test
    void exponentCodesAboveSixTakeAByte() throws IOException {
        float[] x = random(2);
        Result result = inspect("luq:exponent=8", "gradOutput", x);
        assertTrue(result.header().contains(NpyFiles.dictionary("|u1", "(13, 128)")), result.header());
        for (int i = 0; i < ELEMENTS; i++) {
            int code = result.codes()[i] & 0xFF;
            assertEquals(amax(x) / 256 * Nibbles.value(DType.E4M0, code), result.out()[i]);
        }
    }

    /** SAWB clips: elements beyond 7 · scale count as saturated, and only they have ±7 without being within half a step. */
    @Test
    void clippedWeightsCountAsSaturated() throws IOException {
        float[] x = random(3);
        for (int i = 0; i < ELEMENTS; i += 100) {
            x[i] *= 10;
        }
        Result result = inspect("luq", "weight", x);
        assertTrue(result.header().contains(NpyFiles.dictionary("|i1", "(13, 128)")), result.header());
        requireCodes(result.codes(), -7, 7);
        float scale = 0;
        for (int i = 0; i < ELEMENTS; i++) {
            scale = Math.abs(result.codes()[i]) == 1 ? Math.abs(result.out()[i]) : scale;
        }
        long beyond = 0;
        for (float value : x) {
            beyond += Math.abs(value) > 7.0 * scale ? 1 : 0;
        }
        assertTrue(beyond > 0, "beyond the clip are " + beyond);
        assertEquals(beyond, result.json().get("saturated").asLong());
        assertEquals(15, result.json().get("histogram").size());
    }

    /** An input without negative elements gets the unsigned codes 0..15; as a weight it is signed. */
    @Test
    void inputThatIsNeverNegativeHasUnsignedCodes() throws IOException {
        float[] x = random(4);
        for (int i = 0; i < ELEMENTS; i++) {
            x[i] = Math.max(0, x[i]);
        }
        Result result = inspect("luq", "input", x);
        assertEquals("uint4", result.json().get("format").asText());
        assertTrue(result.header().contains("'|u1'"), result.header());
        requireCodes(result.codes(), 0, 15);
        assertTrue(inspect("luq", "weight", x).header().contains("'|i1'"));
        x[7] = -1;
        assertEquals("int4", inspect("luq", "input", x).json().get("format").asText());
    }

    /**
     * The written values are those before the transform: the normalised Hadamard matrix of order 32, applied here in FP64,
     * leads back to code · step. In FP32 five levels of sums and a product, each rounded with u = 2^-24, of 32 values of at
     * most 7 steps, are off by at most 6u · 32 · 7 / sqrt(32) steps an element, and so by 32 of those over sqrt(32) here:
     * 8e-5 steps, and again as much for the estimate of the step.
     */
    @ParameterizedTest
    @ValueSource(strings = {"input", "weight"})
    void transformIsUndone(String role) throws IOException {
        float[] x = random(5);
        Result result = inspect("int4", role, x);
        requireCodes(result.codes(), -7, 7);
        double[] meant = hadamard32(result.out());
        int largest = 0;
        for (int i = 0; i < ELEMENTS; i++) {
            largest = Math.abs(result.codes()[i]) > Math.abs(result.codes()[largest]) ? i : largest;
        }
        double step = meant[largest] / result.codes()[largest];
        for (int i = 0; i < ELEMENTS; i++) {
            assertEquals(result.codes()[i] * step, meant[i], 2e-4 * step, "element " + i);
        }
        double[] transformed = hadamard32(x);
        long zeros = 0;
        for (int i = 0; i < ELEMENTS; i++) {
            // within 1e-3 steps of the border FP32 may decide otherwise, but none of these elements lies there
            assertTrue(Math.abs(Math.abs(transformed[i]) - step / 2) > 1e-3 * step);
            zeros += Math.abs(transformed[i]) < step / 2 ? 1 : 0;
        }
        assertEquals(zeros, result.json().get("zeros").asLong());
    }

    private static double[] hadamard32(float... x) {
        double[] y = new double[x.length];
        for (int i = 0; i < x.length; i++) {
            for (int j = 0; j < 32; j++) {
                double sign = Integer.bitCount(i % 32 & j) % 2 == 0 ? 1 : -1;
                y[i] += sign * x[i / 32 * 32 + j] / Math.sqrt(32);
            }
        }
        return y;
    }

    /** With one tensor known the search takes the size with the smallest error of that tensor. */
    @ParameterizedTest
    @CsvSource({"input, false", "input, true", "weight, true"})
    void searchedBlockIsTheBestForTheTensor(String role, boolean outliers) throws IOException {
        float[] x = random(6);
        for (int i = 0; outliers && i < ELEMENTS; i += 37) {
            x[i] *= 30;
        }
        double best = Double.NEGATIVE_INFINITY;
        for (String size : List.of("1", "2", "4", "8", "16", "32", "64", "128")) {
            double snr = inspect("int4:hadamard=" + size, role, x)
                    .json()
                    .get("snrDb")
                    .asDouble();
            best = Math.max(best, snr);
        }
        double found =
                inspect("int4:hadamard=search", role, x).json().get("snrDb").asDouble();
        // the search scores in FP32, so sizes whose errors differ by less than about 1e-5 are equal to it: 4e-5 dB
        assertEquals(best, found, 1e-4);
    }

    @Test
    void blockThatDoesNotDivideTheColumnsIsRefused() {
        Path file = NpyFiles.floats(folder, "x.npy", Shape.of(3, 48), new float[144]);
        Outcome outcome = Outcome.of("inspect", file.toString(), "--quantizer", "int4:hadamard=32");
        assertEquals(2, outcome.status(), outcome.err());
        assertEquals(1, outcome.err().lines().count());
        assertTrue(outcome.err().contains("hadamard is 32"), outcome.err());
    }

    @ParameterizedTest
    @CsvSource({"luq:gradQuant=none, gradOutput", "luq:intMode=none, input"})
    void planesOfFloatsHaveNoCodes(String quantizer, String role) {
        Path file = NpyFiles.floats(folder, "x.npy", Shape.of(2, 2), 1, 2, 3, 4);
        Path codes = folder.resolve("codes.npy");
        Outcome outcome = Outcome.of(
                "inspect", file.toString(), "--quantizer", quantizer, "--role", role, "--codes", codes.toString());
        assertEquals(2, outcome.status(), outcome.err());
        assertTrue(outcome.err().contains("but fp32 values are stored as they are"), outcome.err());
    }
}
