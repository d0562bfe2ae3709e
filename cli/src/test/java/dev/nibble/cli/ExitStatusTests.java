package dev.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.tensor.Shape;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

class ExitStatusTests {
    @TempDir
    Path folder;

    @BeforeEach
    void makeFiles() throws IOException {
        NpyFiles.floats(folder, "x.npy", Shape.of(2, 3), 1, 2, 3, 4, 5, 6);
        NpyFiles.floats(folder, "y.npy", Shape.of(2, 4), 1, 2, 3, 4, 5, 6, 7, 8);
        NpyFiles.floats(folder, "cube.npy", Shape.of(1, 2, 3), 1, 2, 3, 4, 5, 6);
        NpyFiles.floats(folder, "nan.npy", Shape.of(3), 1, Float.NaN, 3);
        NpyFiles.floats(folder, "inf.npy", Shape.of(1, 3), 1, Float.NEGATIVE_INFINITY, 3);
        NpyFiles.floats(folder, "large.npy", Shape.of(1, 3), 1, -Float.MAX_VALUE, 3);
        NpyFiles.floats(folder, "none.npy", Shape.of(0, 3));
        Files.createDirectory(folder.resolve("foreign"));
        Files.writeString(folder.resolve("foreign/thesis.tex"), "years of work");
        Files.writeString(folder.resolve("file"), "");
    }

    private static Arguments of(int status, String message, String command) {
        return Arguments.of(status, message, command);
    }

    static Stream<Arguments> failures() {
        return Stream.of(
                of(2, "no command is named 'inspct'; known: compare", "inspct x.npy"),
                of(2, "Did you mean 'inspect'?", "inspct x.npy"),
                of(2, "no option '--sede'", "inspect @x.npy --sede 3"),
                of(2, "Did you mean '--seed'?", "inspect @x.npy --sede=3"),
                of(2, "FILE is missing", "inspect"),
                of(2, "B.npy is missing", "gemm @x.npy"),
                of(2, "'more' is one argument too many", "inspect @x.npy more"),
                of(2, "--seed is 'abc', but must be a whole number", "inspect @x.npy --seed abc"),
                of(2, "--seed", "inspect @x.npy --seed 1 --seed 2"),
                of(2, "--samples is 0, but must be at least 1", "inspect @x.npy --quantizer bf16 --samples 0"),
                of(2, "--threads is -1", "inspect @x.npy --quantizer bf16 --threads=-1"),
                of(2, "no quantizer is named 'bf61'", "inspect @x.npy --quantizer bf61"),
                of(2, "Did you mean 'bf16'?", "inspect @x.npy --quantizer bf61"),
                of(2, "quantizer ':' cannot be read", "inspect @x.npy --quantizer :"),
                of(2, "'size' is not an option", "inspect @x.npy --quantizer bf16:size=3"),
                of(2, "no backend is named 'referense'", "inspect @x.npy --quantizer bf16 --backend referense"),
                of(2, "Did you mean 'reference'?", "inspect @x.npy --quantizer bf16 --backend referense"),
                of(2, "--role is 'inputs'; known: input, weight", "inspect @x.npy --quantizer bf16 --role inputs"),
                of(2, "--product is 'dgrad'", "gemm @x.npy @x.npy --quantizer bf16 --product dgrad"),
                of(2, "has shape [0, 3], but needs at least one element", "inspect @none.npy --quantizer bf16"),
                of(2, "--out and --codes are both", "inspect @x.npy --quantizer fp8 --out @q.npy --codes @q.npy"),
                of(2, "--codes needs a format with codes", "inspect @x.npy --quantizer fp32 --codes @c.npy"),
                of(2, "is [2, 3] and", "gemm @x.npy @y.npy --quantizer fp32"),
                of(2, "has shape [1, 2, 3], but a matrix is needed", "gemm @cube.npy @x.npy --quantizer fp32"),
                of(1, "missing.safetensors does not exist", "inspect @missing.safetensors --tensor a"),
                of(2, "--tensor names a tensor of a .safetensors file", "inspect @x.npy --tensor a"),
                of(2, "is a safetensors file", "gemm @a.safetensors @x.npy"),
                of(2, "--out is missing", "export @foreign"),
                of(2, "--dtype is 'fp16'; known: bf16, fp32", "export @foreign --out @f --dtype fp16"),
                of(2, "--format is 'int3'; known: int8, fp8, int4", "export @foreign --out @f --format int3"),
                of(1, "holds no checkpoint", "export @foreign --out @f"),
                of(1, "is a file, but must be a folder", "export @file --out @f"),
                of(2, "--only is 'gemm', but must be products, layers or steps", "bench --only gemm"),
                of(2, "--size is [0], but must be in 1..8192", "bench --size 0"),
                of(2, "no backend is named 'cpus'", "bench --backend cpus"),
                of(1, "missing.npy does not exist", "inspect @missing.npy --quantizer bf16"),
                of(1, "is not a file", "inspect @foreign --quantizer bf16"),
                of(1, "[1] is NaN", "inspect @nan.npy --quantizer bf16"),
                of(1, "[0, 1] is -Infinity", "gemm @inf.npy @x.npy --quantizer bf16"),
                of(
                        1,
                        "[0, 1] is -3.4028235E38, but as int8 it is -Infinity",
                        "inspect @large.npy --quantizer int8-row"),
                of(1, "[0, 1] is -3.4028235E38, but as bf16 it is", "inspect @large.npy --quantizer bf16 --samples 3"),
                of(1, "D[0, 0] is -Infinity, but the exact product is", "gemm @large.npy @x.npy --quantizer fp32"),
                of(1, "nowhere does not exist", "inspect @x.npy --quantizer bf16 --out @nowhere/q.npy"),
                of(1, "it is a folder", "gemm @x.npy @x.npy --quantizer bf16 --out @foreign"),
                of(2, "no preset is named 'txt'", "train txt"),
                of(2, "Did you mean 'text'?", "compare txt"),
                of(1, "recipe.yaml does not exist", "compare @recipe.yaml"),
                of(2, "--resume needs --out DIR", "train --resume --quantizer bf16"),
                of(2, "--other-quantizer needs --resume", "train --other-quantizer --quantizer bf16"),
                of(2, "--steps is 'ten', but must be a whole number", "train --steps ten"),
                of(2, "--seed has no value", "train --seed"),
                of(1, "nix.txt does not exist, but must be a text file or a folder", "train --data nix.txt"),
                of(2, "--steps is 0, but must be at least 1", "train --steps 0 --quantizer bf16"),
                of(2, "no setting is named 'model.layer'", "train --quantizer bf16 --set model.layer=2"),
                of(2, "Did you mean 'model.layers'?", "train --quantizer bf16 --set model.layer=2"),
                of(2, "--set is 'model.layers'", "train --quantizer bf16 --set model.layers"),
                of(2, "matches no layer", "train --quantizer bf16 --set layers.blocks.*.mpl.down=fp32"),
                of(2, "no quantizer is named 'int3'", "train --quantizer bf16 --set layers.head=int3"),
                of(2, "--nonfinite is 'ignore'", "train --quantizer bf16 --nonfinite ignore"),
                of(2, "holds no results of nibble train", "train --quantizer bf16 --out @foreign"),
                of(2, "holds no results of nibble compare", "compare --quantizers bf16 --out @foreign"),
                of(1, "is a file, but must be a folder", "train --quantizer bf16 --out @file"),
                of(1, "cannot be used", "train --quantizer bf16 --out @file/below"),
                of(2, "quantizer fp32 is given twice", "compare --quantizers fp32,bf16,fp32"),
                of(2, "quantizer fp32 is given twice", "compare --quantizers fp32 --quantizer fp32"),
                of(2, "--quantizers takes bare names", "compare --quantizers fp32,int8-block:block=64x64"));
    }

    private String[] words(String command, String... more) {
        List<String> words = new ArrayList<>();
        for (String word : command.split(" ", -1)) {
            words.add(word.startsWith("@") ? folder.resolve(word.substring(1)).toString() : word);
        }
        words.addAll(Arrays.asList(more));
        return words.toArray(String[]::new);
    }

    @ParameterizedTest(name = "{2}")
    @MethodSource("failures")
    void failureIsOneLineOnStandardError(int status, String message, String command) {
        Outcome outcome = Outcome.of(words(command));
        assertEquals(status, outcome.status(), outcome.err());
        assertEquals("", outcome.out());
        assertEquals(1, outcome.err().lines().count(), outcome.err());
        assertTrue(outcome.err().startsWith("nibble: "), outcome.err());
        assertTrue(outcome.err().contains(message), outcome.err());
        assertFalse(outcome.err().contains("Exception"), outcome.err());
    }

    @ParameterizedTest(name = "{2}")
    @MethodSource("failures")
    void failureIsOneJsonObject(int status, String message, String command) {
        Outcome outcome = Outcome.of(words(command, "--json"));
        assertEquals(status, outcome.status(), outcome.err());
        assertTrue(outcome.json().at("/error/message").asText().contains(message), outcome.out());
        assertFalse(outcome.json().at("/error/kind").asText().isEmpty());
        assertEquals(1, outcome.json().size());
    }

    @Test
    void allProblemsAreToldAtOnce() {
        Outcome outcome = Outcome.of(words("compare txt --quantizers fp23,bf16 --set bad --steps -1 --backend cpuu"));
        assertEquals(2, outcome.status());
        for (String part : List.of("'txt'", "'fp23'", "--set is 'bad'", "--steps is -1", "'cpuu'")) {
            assertTrue(outcome.err().contains(part), part + " in " + outcome.err());
        }
    }

    @Test
    void nothingIsWrittenIfSomethingIsWrong() {
        Outcome outcome = Outcome.of(words("compare --quantizers fp32,bf61 --out @new"));
        assertEquals(2, outcome.status());
        assertFalse(Files.exists(folder.resolve("new")));
    }

    @Test
    void debugAddsTheStackTrace() {
        Outcome outcome = Outcome.of(words("inspect @nan.npy --quantizer bf16 --debug"));
        assertEquals(1, outcome.status());
        assertTrue(outcome.err().contains("NonFiniteException"), outcome.err());
        assertTrue(outcome.err().contains("\tat "), outcome.err());
    }

    @Test
    void helpShowsAnExampleOfEachCommand() {
        for (String command :
                List.of("compare", "train", "recipe", "diagnose", "export", "inspect", "gemm", "list", "doctor")) {
            Outcome outcome = Outcome.of(command, "--help");
            assertEquals(0, outcome.status());
            assertTrue(outcome.out().contains("Example: "), command);
            assertTrue(outcome.out().contains("  nibble " + command), command);
            assertEquals("", outcome.err());
            assertEquals(1, Outcome.of(command, "--help", "--json").json().size());
        }
    }

    @Test
    void helpTeachesRepeatedDrawsAndTensorFiles() {
        String inspect = Outcome.of("inspect", "--help").out();
        String gemm = Outcome.of("gemm", "--help").out();
        for (String part : List.of("float16", "Fortran order", "--samples 64 --out mean.npy", "standard error")) {
            assertTrue(inspect.contains(part), part + " in " + inspect);
        }
        for (String part : List.of("float16", "--samples 32 --out d.npy", "standard error")) {
            assertTrue(gemm.contains(part), part + " in " + gemm);
        }
    }

    @Test
    void trainHelpListsLayersAndSettings() {
        String help = Outcome.of("train", "--help").out();
        for (String name :
                List.of("blocks.N.attn.qkv", "blocks.N.attn.out", "blocks.N.mlp.gateUp", "blocks.N.mlp.down", "head")) {
            assertTrue(help.contains(name), name);
        }
        assertTrue(help.contains("model.layers"));
    }

    @Test
    void noArgumentsShowTheHelp() {
        Outcome outcome = Outcome.of();
        assertEquals(0, outcome.status());
        assertTrue(outcome.out().contains("Usage: nibble"));
    }

    @Test
    void optionsWithoutCommandAreRefused() {
        Outcome outcome = Outcome.of("--json");
        assertEquals(2, outcome.status());
        assertTrue(outcome.json().at("/error/message").asText().contains("no command is given"));
    }

    @Test
    void versionIsOneLine() {
        Outcome outcome = Outcome.of("--version");
        assertEquals(0, outcome.status());
        assertTrue(outcome.out().matches("nibble \\S+\n"), outcome.out());
    }
}
