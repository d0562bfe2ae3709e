package dev.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.nibble.gemm.Product;
import dev.nibble.spi.Backend;
import dev.nibble.spi.BackendOptions;
import dev.nibble.spi.OptionValues;
import dev.nibble.spi.Plugins;
import dev.nibble.spi.QuantizerProvider;
import dev.nibble.tensor.Shape;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class GemmSamplesTests {
    private static final int M = 7;
    private static final int N = 5;
    private static final int K = 129;

    @TempDir
    Path folder;

    private static NpyArray random(int rows, long seed) {
        SplittableRandom random = new SplittableRandom(seed);
        float[] x = new float[rows * K];
        for (int i = 0; i < x.length; i++) {
            x[i] = (float) random.nextGaussian();
        }
        return new NpyArray(Shape.of(rows, K), x);
    }

    /** Integers, and 127 in each row and column: INT8 with scale 1, exact whichever axis is contracted. */
    private static NpyArray integers(int rows) {
        SplittableRandom random = new SplittableRandom(rows);
        float[] x = new float[rows * K];
        for (int i = 0; i < x.length; i++) {
            x[i] = i % K == i / K ? 127 : random.nextInt(1, 127);
        }
        for (int col = 0; col < K; col++) {
            x[col % rows * K + col] = 127;
        }
        return new NpyArray(Shape.of(rows, K), x);
    }

    private Path file(String name, NpyArray x) {
        return NpyFiles.floats(folder, name, x.shape(), x.values());
    }

    private static JsonNode gemm(Path a, Path b, Product product, int samples, long seed, String... more) {
        List<String> words = new ArrayList<>(List.of("gemm", a.toString(), b.toString(), "--json"));
        words.addAll(List.of("--product", product.label(), "--quantizer", "int8-row", "--seed", Long.toString(seed)));
        words.addAll(List.of("--samples", Integer.toString(samples)));
        words.addAll(List.of(more));
        Outcome outcome = Outcome.of(words.toArray(String[]::new));
        assertEquals(0, outcome.status(), outcome.err());
        return outcome.json();
    }

    /** A power of two of FP32 values within a few binades has an exact sum and mean in FP64. */
    @ParameterizedTest
    @CsvSource({"GRAD_INPUT, 1", "GRAD_INPUT, 8", "GRAD_WEIGHT, 16", "OUTPUT, 2"})
    void outIsTheMeanOfTheSingleProducts(Product product, int samples) throws IOException {
        NpyArray a = random(M, 1);
        NpyArray b = random(N, 2);
        Path out = folder.resolve("d.npy");
        JsonNode json = gemm(file("a.npy", a), file("b.npy", b), product, samples, 3, "--out", out.toString());
        QuantizerProvider provider = Plugins.quantizers().get("int8-row");
        double[] sums = new double[M * N];
        double[] exact;
        try (Backend backend = Plugins.openBackend("reference", BackendOptions.withSeed(3));
                ProductProbe probe = new ProductProbe(
                        backend,
                        provider.create(OptionValues.of("int8-row", provider.options(), Map.of())),
                        product,
                        a,
                        b)) {
            exact = probe.exact();
            for (int step = 0; step < samples; step++) {
                float[] d = probe.draw(step);
                for (int i = 0; i < sums.length; i++) {
                    sums[i] += d[i];
                }
            }
        }
        float[] expected = new float[sums.length];
        double bias = 0;
        for (int i = 0; i < sums.length; i++) {
            expected[i] = (float) (sums[i] / samples);
            bias += (sums[i] / samples - exact[i]) / sums.length;
        }
        NpyArray mean = NpyArray.read(out);
        assertEquals(Shape.of(M, N), mean.shape());
        assertArrayEquals(expected, mean.values());
        assertEquals(bias, json.get("bias").asDouble(), 1e-12);
    }

    /**
     * dY is rounded stochastically, W is exact, so D is unbiased. All elements of a row of D share the draws of one row of
     * dY. Over S seeds z = bias / standardError follows Student's law with f = draws - 1 degrees of freedom: z² has the mean
     * f/(f-2) and the second moment 3f²/((f-2)(f-4)).
     */
    @Test
    void standardErrorIsTheSpreadOfTheBiasOverSeeds() {
        int seeds = 100;
        int f = 31;
        Path a = file("a.npy", random(M, 4));
        Path b = file("b.npy", integers(N));
        double squares = 0;
        for (int seed = 0; seed < seeds; seed++) {
            JsonNode json = gemm(a, b, Product.GRAD_INPUT, f + 1, seed, "--backend", "reference");
            double z = json.get("bias").asDouble() / json.get("standardError").asDouble();
            squares += z * z;
        }
        double mean = f / (f - 2.0);
        double variance = 3.0 * f * f / ((f - 2) * (f - 4)) - mean * mean;
        assertEquals(seeds * mean, squares, 5 * Math.sqrt(seeds * variance));
    }

    @Test
    void productOfNearestRoundingHasABiasWithoutError() {
        Path a = file("a.npy", random(M, 4));
        Path b = file("b.npy", random(N, 5));
        JsonNode json = gemm(a, b, Product.OUTPUT, 8, 0);
        assertEquals(0, json.get("standardError").asDouble());
        assertTrue(json.get("bias").asDouble() != 0, json.toString());
    }

    @Test
    void oneDrawHasNoStandardError() {
        Path a = file("a.npy", random(M, 4));
        JsonNode json = gemm(a, a, Product.GRAD_INPUT, 1, 0);
        assertTrue(json.get("standardError").isNull(), json.toString());
        assertTrue(json.get("bias").isNumber(), json.toString());
    }

    @Test
    void productBeyondFp32IsRefused() {
        float[] large = new float[K];
        Arrays.fill(large, 1e30f);
        Path a = file("a.npy", new NpyArray(Shape.of(1, K), large));
        Path out = folder.resolve("d.npy");
        Outcome outcome =
                Outcome.of("gemm", a.toString(), a.toString(), "--quantizer", "fp32", "--out", out.toString());
        assertEquals(1, outcome.status());
        assertEquals(
                "nibble: D[0, 0] is Infinity, but the exact product is 1.290e+62; scale A or B down\n", outcome.err());
        assertEquals("", outcome.out());
        assertTrue(Files.notExists(out));
    }
}
