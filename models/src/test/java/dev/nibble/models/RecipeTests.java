package dev.nibble.models;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.error.FormatException;
import dev.nibble.models.files.HostileFile;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

class RecipeTests {
    // To find the lines to blame, the whole configuration is checked again without each of them: some MB.
    private static final long RECHECKED = 1L << 26; // bytes

    @TempDir
    Path folder;

    private final Runs runs = Runs.create();

    private Recipe read(String text) {
        try {
            return runs.readRecipe(Files.writeString(folder.resolve("my.yaml"), text));
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    /** {@return the problems without the folder} */
    private List<String> problems(String text) {
        ConfigurationException e = assertThrows(ConfigurationException.class, () -> read(text));
        return e.problems().stream().map(p -> p.replace(folder + "/", "")).toList();
    }

    /** {@return what only the check of the whole finds, without the folder} */
    private List<String> misfits(String text) {
        Recipe recipe = read(text);
        ConfigurationException e = assertThrows(ConfigurationException.class, () -> runs.check(recipe.config()));
        return recipe.located(runs, recipe.config(), e.problems()).stream()
                .map(p -> p.replace(folder + "/", ""))
                .toList();
    }

    @Test
    void everyPresetIsARecipeThatSaysTheSame() {
        for (String name : runs.presets()) {
            RunConfig config = read(runs.recipe(RunConfig.of(name))).config();
            assertEquals(name, config.preset());
            Preset preset = runs.preset(name);
            assertEquals(preset.settings().size(), config.settings().size());
            for (Setting setting : preset.settings()) {
                assertEquals(setting.defaultValue(), config.settings().get(setting.path()), setting.path());
            }
            assertEquals(
                    RunConfig.of(name).facts().get("quantizer"), config.facts().get("quantizer"));
            assertEquals(List.of(), config.overrides());
        }
    }

    @Test
    void everyPartOfAConfigurationIsWrittenAndReadBack() {
        RunConfig config = RunFixture.tiny()
                .withQuantizer(QuantizerChoice.parse("luq:samplesGradWeight=2"))
                .with("layers.blocks.*.mlp.down", "fp8")
                .with("layers.head", "int8-block:block=64x64")
                .with("data.path", "a \"b\": c\\d #e.txt")
                .withBackend("reference")
                .withSeed(Long.MIN_VALUE)
                .withThreads(3)
                .withStrict(true)
                .withNonFinite(NonFinitePolicy.SKIP);
        RunConfig back = read(runs.recipe(config)).config();
        assertEquals(back, read(runs.recipe(back)).config(), "nothing changes any more");
        assertEquals(config.overrides(), back.overrides());
        assertEquals("4", back.settings().get("train.steps"));
        config.settings()
                .forEach((path, value) -> assertEquals(value, back.settings().get(path), path));
        assertEquals(
                new RunConfig(
                        "text",
                        config.quantizer(),
                        config.overrides(),
                        "reference",
                        Long.MIN_VALUE,
                        0,
                        3,
                        true,
                        NonFinitePolicy.SKIP,
                        back.settings()),
                back);
    }

    @Test
    void ofEqualPatternsOnlyTheLastIsWritten() {
        RunConfig config = RunFixture.tiny()
                .with("layers.head", "fp8")
                .with("layers.*", "bf16")
                .with("layers.head", "fp32");
        List<LayerOverride> back = read(runs.recipe(config)).config().overrides();
        assertEquals(
                List.of(
                        new LayerOverride("*", QuantizerChoice.of("bf16")),
                        new LayerOverride("head", QuantizerChoice.of("fp32"))),
                back);
    }

    static Stream<Arguments> mistakes() {
        return Stream.of(
                Arguments.of("seed: 1\n", List.of("my.yaml:1: the recipe has no preset, but needs one")),
                Arguments.of("preset: txt\n", List.of("my.yaml:1: no preset is named 'txt'; known: ")),
                Arguments.of("preset: [text]\n", List.of("my.yaml:1: preset is a list, but must be a text")),
                Arguments.of(
                        "preset: text\nmodel:\n  layer: 2\n", List.of("my.yaml:3: no setting is named 'model.layer'")),
                Arguments.of("preset: text\nmodel:\n  layer: 2\n", List.of("Did you mean 'model.layers'?")),
                Arguments.of("preset: text\nmodl: {layers: 2}\n", List.of("my.yaml:2: no setting is named 'modl'")),
                Arguments.of("preset: text\nmodl: {layers: 2}\n", List.of("Did you mean 'model'?")),
                Arguments.of(
                        "preset: text\nmodel.layers: 2\n",
                        List.of("my.yaml:2: model.layers must be a line of section model")),
                Arguments.of("preset: text\nmodel: 5\n", List.of("my.yaml:2: model is '5', but must be a section")),
                Arguments.of(
                        "preset: text\nmodel: [a]\n", List.of("my.yaml:2: model is a list, but must be a section")),
                Arguments.of(
                        "preset: text\nmodel:\n  layers: two\n",
                        List.of("my.yaml:3: setting model.layers is 'two', but must be an integer")),
                Arguments.of(
                        "preset: text\nmodel: {layers: \"2\"}\n",
                        List.of("my.yaml:2: setting model.layers is the text '2' in quotes, but must be an integer")),
                Arguments.of(
                        "preset: text\nmodel: {layers: {a: 1}}\n",
                        List.of("my.yaml:2: setting model.layers is a section, but must be an integer")),
                Arguments.of(
                        "preset: text\nmodel: {tiedHead: yes}\n",
                        List.of("my.yaml:2: setting model.tiedHead is 'yes', but must be true or false")),
                Arguments.of(
                        "preset: text\ntrain: {learningRate: .inf}\n",
                        List.of("my.yaml:2: setting train.learningRate is '.inf', but must be a finite number")),
                Arguments.of(
                        "preset: text\ndata:\n  path:\n",
                        List.of(
                                "my.yaml:3: setting data.path has no value, but must be a path; \"\" is the empty text")),
                Arguments.of(
                        "preset: text\nseed: 1.5\n", List.of("my.yaml:2: seed is '1.5', but must be a whole number")),
                Arguments.of(
                        "preset: text\nstrict: 1\n", List.of("my.yaml:2: strict is '1', but must be true or false")),
                Arguments.of(
                        "preset: text\nnonfinite: go\n", List.of("my.yaml:2: nonfinite is 'go'; known: stop, skip")),
                Arguments.of("preset: text\nquantizer: ':'\n", List.of("my.yaml:2: quantizer ':' cannot be read")),
                Arguments.of(
                        "preset: text\nlayers: fp8\n", List.of("my.yaml:2: layers is 'fp8', but must be a section")),
                Arguments.of(
                        "preset: text\nlayers: {head: [a]}\n",
                        List.of("my.yaml:2: layers.head is a list, but must be")),
                Arguments.of("preset: text\nlayers: {'': fp8}\n", List.of("my.yaml:2: the layer pattern")),
                Arguments.of("preset: text\npreset: text\n", List.of("my.yaml:2: has 'preset' again")),
                Arguments.of(
                        "preset: text\nquantizer: fp9\nmodel: {width: x}\nlayers: {hed: fp8}\nseed: a\n",
                        List.of(
                                "my.yaml:3: setting model.width is 'x'",
                                "my.yaml:5: seed is 'a'",
                                "my.yaml:2: no quantizer is named 'fp9'",
                                "my.yaml:4: layer pattern 'hed' matches no layer")));
    }

    @ParameterizedTest
    @MethodSource("mistakes")
    void everyMistakeOfFormIsToldWithItsLine(String text, List<String> expected) {
        List<String> found = problems(text);
        for (String part : expected) {
            assertTrue(found.stream().anyMatch(p -> p.contains(part)), part + " in " + found);
        }
        assertTrue(found.stream().allMatch(p -> p.startsWith("my.yaml:")), found.toString());
    }

    @Test
    void valuesThatDoNotFitAreToldWithTheLinesToBlame() {
        List<String> found = misfits("""
                preset: text
                quantizer: int8-block:block=1x
                backend: cpus
                model:
                  width: 100
                  heads: 3
                data:
                  batch: 0
                train:
                  steps: 0
                layers:
                  "*.mpl.down": fp8
                """);
        for (String part : List.of(
                "my.yaml:2: ",
                "my.yaml:3: no backend is named 'cpus'",
                "my.yaml:5,6: model: width is 100, but must be a multiple of 2 x heads = 6",
                "my.yaml:8: setting data.batch is 0, but must be in 1..1048576",
                "my.yaml:10: train.steps is 0, but must be 1 or more")) {
            assertTrue(found.stream().anyMatch(p -> p.startsWith(part)), part + " in " + found);
        }
    }

    @Test
    void aMistakeThatTheFileDoesNotMakeHasNoLine() {
        Recipe recipe = read("preset: text\nseed: 3\n");
        RunConfig changed = recipe.config().with("model.layers", "0");
        ConfigurationException e = assertThrows(ConfigurationException.class, () -> runs.check(changed));
        assertEquals(e.problems(), recipe.located(runs, changed, e.problems()));
    }

    @Test
    void theStoredRecipeRepeatsTheRunToTheSameBits() throws IOException {
        Path text = Files.writeString(
                folder.resolve("a book.txt"), "All work and no play makes Jack a dull boy.\n".repeat(200));
        Path relative = Path.of("").toAbsolutePath().relativize(text);
        RunConfig config = RunFixture.tiny()
                .withQuantizer(QuantizerChoice.of("luq"))
                .with("layers.blocks.0.mlp.*", "int8-block")
                .with("data.path", relative.toString())
                .withSeed(7);
        byte[] first = train(config, "first");
        Recipe stored = runs.readRecipe(folder.resolve("first").resolve(RunFolder.RECIPE));
        assertEquals(Optional.of("luq"), stored.quantizer().map(QuantizerChoice::name));
        assertTrue(stored.config().quantizer().options().size() > 3, "all options are written");
        assertEquals(text.toString(), stored.config().settings().get("data.path"));
        assertArrayEquals(first, train(stored.config(), "second"));
        assertEquals(
                Files.readString(folder.resolve("first").resolve(RunFolder.RECIPE)),
                Files.readString(folder.resolve("second").resolve(RunFolder.RECIPE)));
    }

    private byte[] train(RunConfig config, String name) throws IOException {
        RunOrigin origin = new RunOrigin("test", "1", List.of(), Map.of());
        RunResult result =
                new RunFolder(folder.resolve(name), origin).train(runs, config, RunListener.SILENT, Start.NEW);
        assertEquals(RunResult.Status.COMPLETED, result.status(), result.message());
        return Files.readAllBytes(folder.resolve(name).resolve("checkpoints/step-000004/model.safetensors"));
    }

    /** Reads a recipe as commands do: what is refused names file and line, each problem in one line. */
    private void readHostile(Path file) {
        try {
            runs.readRecipe(file);
        } catch (ConfigurationException e) {
            for (String problem : e.problems()) {
                assertTrue(problem.matches("\\Q" + file + "\\E:[0-9,]+: .*"), problem);
                assertEquals(1, problem.lines().count(), problem);
            }
            throw new FormatException(e.problems().getFirst());
        }
    }

    @Test
    void problemIsOneLineWhateverTheFileSays() {
        assertEquals(
                List.of("my.yaml:1: no preset is named 'a?b'; known: " + String.join(", ", runs.presets())),
                problems("preset: \"a\\nb\"\n"));
    }

    private int refusals(int times, long seed) throws IOException {
        String good = """
                preset: text
                quantizer: luq:exponent=4 # why
                layers: {"blocks.*.mlp.down": 'fp8'}
                model:
                  layers: 2
                train:
                  learningRate: 3.0e-4
                  optimizer: lion
                """;
        List<String> words = List.of(
                "{",
                "}",
                "[",
                "]",
                ": ",
                ",",
                "- ",
                "? ",
                "*a ",
                "&a ",
                "<<: *a",
                "!!java ",
                "|\n",
                ">\n",
                "'",
                "\"",
                "%",
                "@",
                "`",
                "# ",
                "\n",
                "\n  ",
                "\t",
                "\u0000",
                "\ud800",
                "---\n",
                "...\n",
                "1e999",
                "0x1F",
                "~",
                "[[[[[[[[[[");
        return new HostileFile(folder.resolve("my.yaml"), good.getBytes(UTF_8), words, this::readHostile, RECHECKED)
                .refusals(times, seed);
    }

    @Test
    void damagedRecipesAreReadOrRefused() throws IOException {
        int refused = refusals(1_000, 1);
        assertTrue(refused > 500, refused + " of 1000 were refused");
    }

    @Test
    @Tag("slow")
    void damagedRecipesAreReadOrRefusedAHundredThousandTimes() throws IOException {
        int refused = refusals(100_000, 2);
        assertTrue(refused > 50_000, refused + " of 100000 were refused");
    }
}
