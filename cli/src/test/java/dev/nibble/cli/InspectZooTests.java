package dev.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import dev.nibble.spi.BackendProvider;
import dev.nibble.spi.Plugins;
import dev.nibble.tensor.Shape;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/** Odd tensors, under every quantizer that is installed, in every role, on every backend that is available. */
class InspectZooTests {
    private static final List<String> ROLES = List.of("input", "weight", "gradOutput");
    private static final int COLS = 128; // every block extent divides it
    private static final int ROWS = 13;

    @TempDir
    Path folder;

    /**
     * A tensor.
     *
     * @param refusal the exit status with which a quantizer may refuse it, 0 if none may
     */
    record Animal(String name, Shape shape, float[] x, int refusal) {
        @Override
        public String toString() {
            return name + " " + shape;
        }
    }

    private static float[] filled(int length, float value) {
        float[] x = new float[length];
        Arrays.fill(x, value);
        return x;
    }

    private static float[] random(int length) {
        SplittableRandom random = new SplittableRandom(length);
        float[] x = new float[length];
        for (int i = 0; i < length; i++) {
            x[i] = (float) random.nextGaussian();
        }
        return x;
    }

    private static float[] outlier(float rest, float outlier) {
        float[] x = filled(ROWS * COLS, rest);
        x[77] = outlier;
        return x;
    }

    private static Animal constant(String name, float value) {
        return new Animal(name, Shape.of(ROWS, COLS), filled(ROWS * COLS, value), 0);
    }

    private static Stream<Animal> values() {
        float[] subnormals = random(ROWS * COLS);
        for (int i = 0; i < subnormals.length; i++) {
            subnormals[i] *= 0x1p-130f;
        }
        float[] mixed = random(ROWS * COLS);
        for (int i = 0; i < mixed.length; i++) {
            mixed[i] = Math.scalb(mixed[i], i % 200 - 140);
        }
        Shape shape = Shape.of(ROWS, COLS);
        return Stream.of(
                constant("zero", 0),
                constant("negative zero", -0f),
                constant("constant", 0.1f),
                constant("negative constant", -3),
                constant("smallest subnormal", Float.MIN_VALUE),
                constant("subnormal", 0x1.8p-127f),
                constant("smallest normal", Float.MIN_NORMAL),
                constant("smallest amax with codes", 0x1p-119f),
                new Animal("subnormals", shape, subnormals, 0),
                new Animal("200 binades", shape, mixed, 0),
                new Animal("one outlier", shape, outlier(1e-3f, 1e4f), 0),
                new Animal("one value", shape, outlier(0, -1), 0),
                // code · scale may round up to infinity, which is refused
                new Animal("largest", shape, filled(ROWS * COLS, Float.MAX_VALUE), Failure.FAILED),
                new Animal("smallest and largest", shape, outlier(Float.MIN_VALUE, -Float.MAX_VALUE), Failure.FAILED));
    }

    private static Stream<Animal> shapes() {
        return Stream.of(
                new Animal("scalar", Shape.of(), new float[] {-3.7f}, Failure.MISUSED),
                new Animal("scalar zero", Shape.of(), new float[1], Failure.MISUSED),
                new Animal("one element", Shape.of(1), new float[] {1}, Failure.MISUSED),
                new Animal("one element", Shape.of(1, 1), new float[] {Float.MIN_VALUE}, Failure.MISUSED),
                new Animal("one element", Shape.of(1, 1, 1, 1), new float[] {0x1p60f}, Failure.MISUSED),
                new Animal("vector", Shape.of(COLS), random(COLS), 0),
                new Animal("vector", Shape.of(13), random(13), Failure.MISUSED),
                new Animal("column", Shape.of(COLS, 1), random(COLS), Failure.MISUSED),
                new Animal("matrix", Shape.of(3, 127), random(3 * 127), Failure.MISUSED),
                new Animal("matrix", Shape.of(5, 129), random(5 * 129), Failure.MISUSED),
                new Animal("cube", Shape.of(2, 3, COLS), random(6 * COLS), 0),
                new Animal("rank 4", Shape.of(2, 1, 3, COLS), random(6 * COLS), 0));
    }

    static Stream<Arguments> finite() {
        List<Animal> animals = Stream.concat(values(), shapes()).toList();
        return Plugins.quantizers().names().stream()
                .flatMap(q -> animals.stream().map(a -> Arguments.of(q, a)));
    }

    @ParameterizedTest(name = "{0}: {1}")
    @MethodSource("finite")
    void finiteTensorGivesADefinedResultOrOneClearError(String quantizer, Animal animal) throws IOException {
        Path file = NpyFiles.floats(folder, "x.npy", animal.shape(), animal.x());
        for (String role : ROLES) {
            List<float[]> results = new ArrayList<>();
            List<String> backends = animal.refusal() == Failure.MISUSED ? List.of("auto") : backends();
            for (String backend : backends) {
                Path out = Files.createTempDirectory(folder, "out").resolve("q.npy");
                Outcome outcome = inspect(file, quantizer, role, backend, "--out", out.toString());
                if (outcome.status() == 0) {
                    NpyArray q = NpyArray.read(out);
                    requireDefined(animal, q, outcome);
                    results.add(q.values());
                } else {
                    requireOneClearError(animal.refusal(), outcome);
                    assertFalse(Files.exists(out));
                }
            }
            assertTrue(results.isEmpty() || results.size() == backends.size(), "refused by some backends only");
            results.forEach(q -> assertArrayEquals(results.getFirst(), q, "backends agree bit for bit"));
        }
    }

    private static List<String> backends() {
        return Plugins.backends().all().stream()
                .filter(p -> p.availability().available())
                .map(BackendProvider::name)
                .toList();
    }

    private static Outcome inspect(Path file, String quantizer, String role, String backend, String... more) {
        List<String> words = new ArrayList<>(List.of("inspect", file.toString(), "--json", "--quantizer", quantizer));
        words.addAll(List.of("--role", role, "--backend", backend));
        words.addAll(List.of(more));
        return Outcome.of(words.toArray(String[]::new));
    }

    private static void requireOneClearError(int status, Outcome outcome) {
        assertEquals(status, outcome.status(), outcome.err());
        assertEquals(1, outcome.err().lines().count(), outcome.err());
        assertTrue(outcome.err().startsWith("nibble: "), outcome.err());
        assertFalse(outcome.err().contains("unexpected"), outcome.err());
        assertTrue(outcome.json().has("error"), outcome.out());
    }

    /** The figures follow from the tensor and the written result; ratios that do not exist are null. */
    private static void requireDefined(Animal animal, NpyArray q, Outcome outcome) {
        assertEquals("", outcome.err());
        assertEquals(animal.shape(), q.shape());
        float[] x = animal.x();
        double signal = 0;
        double noise = 0;
        double bias = 0;
        for (int i = 0; i < x.length; i++) {
            assertTrue(Float.isFinite(q.values()[i]), "element " + i + " is " + q.values()[i]);
            signal += (double) x[i] * x[i];
            noise += ((double) q.values()[i] - x[i]) * ((double) q.values()[i] - x[i]);
            bias += ((double) q.values()[i] - x[i]) / x.length;
        }
        JsonNode json = outcome.json();
        if (signal == 0 || noise == 0) {
            assertTrue(json.get("snrDb").isNull(), outcome.out());
        } else {
            assertEquals(10 * Math.log10(signal / noise), json.get("snrDb").asDouble(), 1e-9);
        }
        // n terms of at most the largest error, each rounded in FP64
        assertEquals(bias, json.get("bias").asDouble(), 1e-13 * Math.sqrt(x.length * noise));
        assertEquals(signal == 0, json.get("meanRelativeError").isNull());
        assertTrue(Math.abs(json.get("cosine").asDouble()) <= 1, outcome.out());
        assertEquals(x.length == 1, json.get("standardError").isNull(), "one draw of one element has no spread");
        for (String count : List.of("zeros", "saturated")) {
            long counted = json.get(count).asLong();
            // a transform spreads one element over others
            assertTrue(counted >= 0 && counted <= (signal == 0 ? 0 : x.length), count + " is " + counted);
        }
        long counted = 0;
        for (JsonNode bin : json.get("histogram")) {
            counted += bin.get("count").asLong();
        }
        assertTrue(counted == x.length || json.get("histogram").isEmpty(), "the histogram counts " + counted);
        if (signal == 0) {
            assertArrayEquals(new float[x.length], q.values(), "zero stays zero");
        }
    }

    static Stream<Arguments> notFinite() {
        List<String> values = List.of("NaN", "Infinity", "-Infinity");
        return Plugins.quantizers().names().stream()
                .flatMap(q -> values.stream().map(v -> Arguments.of(q, Float.valueOf(v))));
    }

    @ParameterizedTest(name = "{0}: {1}")
    @MethodSource("notFinite")
    void tensorThatIsNotFiniteIsRefused(String quantizer, float bad) throws IOException {
        float[] one = random(2 * 3 * COLS);
        one[2 * COLS + 5] = bad;
        Path file = NpyFiles.floats(folder, "x.npy", Shape.of(2, 3, COLS), one);
        Path all = NpyFiles.floats(folder, "all.npy", Shape.of(4, COLS), filled(4 * COLS, bad));
        Path out = folder.resolve("q.npy");
        Outcome outcome = inspect(file, quantizer, "input", "auto", "--out", out.toString(), "--samples", "2");
        requireOneClearError(Failure.FAILED, outcome);
        assertTrue(outcome.err().contains("x.npy[0, 2, 5] is " + bad), outcome.err());
        outcome = inspect(all, quantizer, "gradOutput", "reference", "--out", out.toString());
        requireOneClearError(Failure.FAILED, outcome);
        assertTrue(outcome.err().contains("(512 of 512 are not)"), outcome.err());
        Path good = NpyFiles.floats(folder, "good.npy", Shape.of(4, COLS), filled(4 * COLS, 1));
        for (Path[] pair : new Path[][] {{all, good}, {good, all}}) {
            String[] words = {"gemm", pair[0].toString(), pair[1].toString(), "--quantizer", quantizer, "--json"};
            requireOneClearError(Failure.FAILED, Outcome.of(words));
        }
        assertFalse(Files.exists(out));
    }

    /** Every format but plain floats has codes, one array for each plane, signed if it is an integer. */
    @ParameterizedTest
    @MethodSource("quantizers")
    void codesAreWrittenPlaneByPlane(String quantizer) throws IOException {
        Path file = NpyFiles.floats(folder, "x.npy", Shape.of(2, 3, COLS), random(6 * COLS));
        for (String role : ROLES) {
            Path codes = folder.resolve(role + ".npy");
            Outcome outcome = inspect(file, quantizer, role, "auto", "--codes", codes.toString());
            if (outcome.status() == 0) {
                String[] formats = outcome.json().get("format").asText().split("\\+", -1);
                String header = new String(Files.readAllBytes(codes), 10, 118, StandardCharsets.US_ASCII);
                String type = formats[0].startsWith("int") ? "|i1" : "|u1";
                String shape = formats.length == 1 ? "(2, 3, 128)" : "(" + formats.length + ", 2, 3, 128)";
                assertTrue(header.contains(NpyFiles.dictionary(type, shape)), header);
                assertEquals(128 + formats.length * 6L * COLS, Files.size(codes));
            } else {
                requireOneClearError(Failure.MISUSED, outcome);
                assertTrue(List.of("fp32", "bf16").contains(quantizer), outcome.err());
            }
        }
    }

    static List<String> quantizers() {
        return Plugins.quantizers().names();
    }

    @Test
    void quantizersOfThisBuildAreInstalled() {
        assertTrue(quantizers().containsAll(List.of("fp32", "bf16", "int8-row", "int8-block", "int8-fallback", "fp8")));
        assertTrue(backends().containsAll(List.of("reference", "cpu")));
    }
}
