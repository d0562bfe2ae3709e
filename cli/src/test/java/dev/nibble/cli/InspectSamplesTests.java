package dev.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.nibble.models.QuantizerChoice;
import dev.nibble.spi.Backend;
import dev.nibble.spi.BackendOptions;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.OptionValues;
import dev.nibble.spi.PlanRequest;
import dev.nibble.spi.Plugins;
import dev.nibble.spi.QuantizerProvider;
import dev.nibble.spi.Site;
import dev.nibble.tensor.Role;
import dev.nibble.tensor.Shape;
import java.io.IOException;
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

class InspectSamplesTests {
    private static final int ROWS = 13;
    private static final int COLS = 128;
    private static final Shape SHAPE = Shape.of(ROWS, COLS);

    @TempDir
    Path folder;

    private static float[] random(long seed) {
        SplittableRandom random = new SplittableRandom(seed);
        float[] x = new float[ROWS * COLS];
        for (int i = 0; i < x.length; i++) {
            x[i] = (float) random.nextGaussian();
        }
        return x;
    }

    /** 127 once in each row makes the scale exactly 1; every other element lies a quarter above a code. */
    private static float[] quarters() {
        float[] x = new float[ROWS * COLS];
        Arrays.fill(x, 3.25f);
        for (int row = 0; row < ROWS; row++) {
            x[row * COLS] = 127;
        }
        return x;
    }

    private static JsonNode inspect(Path file, String quantizer, Role role, int samples, long seed, String... more) {
        List<String> words = new ArrayList<>(List.of("inspect", file.toString(), "--json", "--quantizer", quantizer));
        words.addAll(List.of("--role", role.label(), "--samples", Integer.toString(samples)));
        words.addAll(List.of("--seed", Long.toString(seed)));
        words.addAll(List.of(more));
        Outcome outcome = Outcome.of(words.toArray(String[]::new));
        assertEquals(0, outcome.status(), outcome.err());
        return outcome.json();
    }

    /** The draws as the backend makes them, each a step of its own at site 0. */
    private static List<float[]> draws(String quantizer, Role role, float[] x, int count, long seed) {
        QuantizerChoice choice = QuantizerChoice.parse(quantizer);
        QuantizerProvider provider = Plugins.quantizers().get(choice.name());
        LinearQuantizer layer = provider.create(OptionValues.of(choice.name(), provider.options(), choice.options()))
                .linear(new LinearLayer(new Site("layer", 0), COLS, COLS));
        List<float[]> draws = new ArrayList<>();
        try (Backend backend = Plugins.openBackend("reference", BackendOptions.withSeed(seed));
                OperandProbe probe = new OperandProbe(
                        backend, layer, layer.plan(new PlanRequest(ROWS, true)), role, "x", new NpyArray(SHAPE, x))) {
            for (int step = 0; step < count; step++) {
                draws.add(probe.draw(step).values());
            }
        }
        return draws;
    }

    /**
     * With a power of two of draws the sum and the mean of FP32 values within a few binades are exact in FP64, so the file
     * holds the correctly rounded mean.
     */
    @ParameterizedTest
    @CsvSource({"int8-row, 1", "int8-row, 2", "int8-row, 64", "int8-block, 16", "int8-fallback, 16", "fp8, 4", "bf16, 2"
    })
    void outIsTheMeanOfTheSingleDraws(String quantizer, int samples) throws IOException {
        float[] x = random(4);
        Path file = NpyFiles.floats(folder, "x.npy", SHAPE, x);
        Path out = folder.resolve("mean.npy");
        inspect(file, quantizer, Role.GRAD_OUTPUT, samples, 9, "--out", out.toString());
        float[] expected = new float[x.length];
        List<float[]> draws = draws(quantizer, Role.GRAD_OUTPUT, x, samples, 9);
        for (int i = 0; i < x.length; i++) {
            double sum = 0;
            for (float[] draw : draws) {
                sum += draw[i];
            }
            expected[i] = (float) (sum / samples);
        }
        assertArrayEquals(expected, NpyArray.read(out).values());
    }

    @Test
    void drawsDifferFromStepToStepAndTheFirstIsTheSingleOne() throws IOException {
        float[] x = random(4);
        List<float[]> draws = draws("int8-row", Role.GRAD_OUTPUT, x, 3, 0);
        assertNotEquals(Arrays.hashCode(draws.get(0)), Arrays.hashCode(draws.get(1)));
        assertNotEquals(Arrays.hashCode(draws.get(1)), Arrays.hashCode(draws.get(2)));
        Path file = NpyFiles.floats(folder, "x.npy", SHAPE, x);
        Path one = folder.resolve("1.npy");
        Path codes = folder.resolve("codes1.npy");
        inspect(file, "int8-row", Role.GRAD_OUTPUT, 1, 0, "--out", one.toString(), "--codes", codes.toString());
        assertArrayEquals(draws.getFirst(), NpyArray.read(one).values());
        Path codesOfFirst = folder.resolve("codes2.npy");
        inspect(file, "int8-row", Role.GRAD_OUTPUT, 5, 0, "--codes", codesOfFirst.toString());
        assertArrayEquals(Files.readAllBytes(codes), Files.readAllBytes(codesOfFirst));
    }

    @Test
    void figuresOtherThanTheBiasAreOfTheFirstDraw() {
        Path file = NpyFiles.floats(folder, "x.npy", SHAPE, random(4));
        JsonNode one = inspect(file, "int8-row", Role.GRAD_OUTPUT, 1, 3);
        JsonNode many = inspect(file, "int8-row", Role.GRAD_OUTPUT, 8, 3);
        for (String name :
                List.of("snrDb", "cosine", "meanRelativeError", "zeros", "saturated", "scales", "histogram")) {
            assertEquals(one.get(name), many.get(name), name);
        }
        assertNotEquals(one.get("bias"), many.get("bias"));
        assertEquals(8, many.get("samples").asInt());
    }

    /**
     * One draw of one element is 1 or 0 above the code with p = 1/4. Over N draws its s² has the mean v = pq and the
     * variance (m4 - v² (N-3)/(N-1)) / N with m4 = pq(1 - 3pq); E elements of n are random. The standard error is
     * sqrt(Σs²/N)/n, so its relative error is half that of Σs²: allowed are 5 of its standard deviations.
     */
    @ParameterizedTest
    @ValueSource(ints = {2, 4, 16, 64})
    void standardErrorFallsAsTheRootOfTheDraws(int samples) {
        Path file = NpyFiles.floats(folder, "x.npy", SHAPE, quarters());
        JsonNode json = inspect(file, "int8-row", Role.GRAD_OUTPUT, samples, 1);
        double pq = 0.1875;
        int random = ROWS * (COLS - 1);
        double expected = Math.sqrt(pq * random / samples) / (ROWS * COLS);
        double fourth = pq * (1 - 3 * pq);
        double spread = Math.sqrt((fourth - pq * pq * (samples - 3) / (samples - 1)) / samples / random) / pq / 2;
        double error = json.get("standardError").asDouble();
        assertEquals(expected, error, 5 * spread * expected);
        assertTrue(Math.abs(json.get("bias").asDouble()) <= 5 * error, json.toString());
    }

    /**
     * Over S seeds z = bias / standardError is nearly normal (1651 elements, 8 draws each), so Σz² has the mean S and the
     * variance 2S. A standard error that is too small or too large by a quarter would be 6 deviations off.
     */
    @Test
    void standardErrorIsTheSpreadOfTheBiasOverSeeds() {
        int seeds = 100;
        Path file = NpyFiles.floats(folder, "x.npy", SHAPE, random(8));
        double squares = 0;
        for (int seed = 0; seed < seeds; seed++) {
            JsonNode json = inspect(file, "int8-row", Role.GRAD_OUTPUT, 8, seed, "--backend", "reference");
            double z = json.get("bias").asDouble() / json.get("standardError").asDouble();
            squares += z * z;
        }
        assertEquals(seeds, squares, 5 * Math.sqrt(2.0 * seeds));
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "int8-row",
                "int8-block",
                "int8-fallback",
                "luq",
                "luq:samplesGradInput=16",
                "luq:gradQuant=int4-sr",
                "int4",
                "fp8:gradRounding=stochastic"
            })
    void stochasticRoundingOfGradientsIsUnbiased(String quantizer) {
        Path file = NpyFiles.floats(folder, "x.npy", SHAPE, random(6));
        JsonNode json = inspect(file, quantizer, Role.GRAD_OUTPUT, 64, 2);
        double error = json.get("standardError").asDouble();
        assertTrue(error > 0, json.toString());
        assertTrue(Math.abs(json.get("bias").asDouble()) <= 5 * error, json.toString());
    }

    /** The controls: a bias of more than 5 standard errors, which are 0 where nothing is random. */
    @ParameterizedTest
    @ValueSource(strings = {"luq:gradQuant=rdnp", "luq:gradQuant=fp4-flush", "luq:gradQuant=log-sr", "int4:split=r"})
    void biasOfOtherRoundingsIsFound(String quantizer) {
        float[] x = new float[ROWS * COLS];
        // amax 64 makes 4.31 one of the powers 4 and 8, below the midpoint of their logarithms, and 6.6 of mode R's 98
        // units,
        // of which its lower digit takes 6 and its upper one none
        Arrays.fill(x, 4.31f);
        x[0] = 64;
        Path file = NpyFiles.floats(folder, "x.npy", SHAPE, x);
        JsonNode json = inspect(file, quantizer, Role.GRAD_OUTPUT, 64, 2);
        double error = json.get("standardError").asDouble();
        assertTrue(Math.abs(json.get("bias").asDouble()) > 5 * error, json.toString());
    }

    /** The control: rounding to nearest draws nothing, so nothing is uncertain, and its bias is found. */
    @ParameterizedTest
    @CsvSource({"int8-row, INPUT", "int8-row, WEIGHT", "int8-block, INPUT", "int8-fallback, WEIGHT"})
    void roundingToNearestHasABiasWithoutError(String quantizer, Role role) {
        Path file = NpyFiles.floats(folder, "x.npy", SHAPE, quarters());
        JsonNode json = inspect(file, quantizer, role, 16, 2);
        assertEquals(0, json.get("standardError").asDouble());
        // each of 127 elements in 128 loses its quarter
        assertEquals(-0.25 * (COLS - 1) / COLS, json.get("bias").asDouble(), 1e-14);
    }
}
