package dev.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.models.safetensors.ElementType;
import dev.nibble.models.safetensors.SafetensorsFile;
import dev.nibble.models.safetensors.SafetensorsWriter;
import dev.nibble.models.safetensors.TensorContent;
import dev.nibble.tensor.Shape;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class CheckpointCommandTests {
    private static final String TINY = "--set model.width=32 --set model.heads=2 --set model.hidden=48 --set"
            + " model.layers=1 --set data.batch=4 --set data.sequence=16 --set data.validationBatches=2 --steps 6 --quiet";

    @TempDir
    Path folder;

    private Outcome nibble(String command) {
        return nibble(new Interruption(), command);
    }

    private Outcome nibble(Interruption interruption, String command) {
        List<String> words = new ArrayList<>();
        for (String word : command.split(" ", -1)) {
            words.add(word.startsWith("@") ? folder.resolve(word.substring(1)).toString() : word);
        }
        return Outcome.of(interruption, words.toArray(String[]::new));
    }

    private static Interruption atOnce() {
        Interruption interruption = new Interruption();
        interruption.request();
        return interruption;
    }

    private byte[] bytes(String path) throws IOException {
        return Files.readAllBytes(folder.resolve(path));
    }

    @ParameterizedTest
    @ValueSource(strings = {"int4", "int8-fallback", "luq"})
    void interruptedRunIsSavedAndResumedToTheSameBits(String quantizer) throws IOException {
        String train = "train " + TINY + " --quantizer " + quantizer + " --out ";
        assertEquals(0, nibble(train + "@whole").status());
        Outcome first = nibble(atOnce(), train + "@run --resume");
        assertEquals(130, first.status(), first.err());
        assertTrue(first.err().contains("there is no checkpoint in"), first.err());
        assertEquals(130, nibble(atOnce(), train + "@run --resume").status());
        assertTrue(Files.isDirectory(folder.resolve("run/checkpoints/step-000002")));
        Outcome last = nibble(train + "@run --resume --json");
        assertEquals(0, last.status(), last.err());
        assertTrue(
                last.err().contains("continuing " + folder.resolve("run/checkpoints/step-000002") + " after step 2"));
        assertEquals(6, last.json().at("/steps").asInt());
        for (String file : List.of("model", "optimizer", "quantizer")) {
            String name = "/checkpoints/step-000006/" + file + ".safetensors";
            assertArrayEquals(bytes("whole" + name), bytes("run" + name), file);
        }
        List<String> lines = Files.readAllLines(folder.resolve("run/metrics.csv"));
        assertEquals(
                List.of("step", "0", "1", "2", "3", "4", "5"),
                lines.stream().map(l -> l.split(",", 2)[0]).toList());
    }

    @Test
    void otherSettingsAreMisuseAndChangeNothing() throws IOException {
        String train = "train " + TINY + " --out @run --quantizer ";
        assertEquals(0, nibble(train + "fp32").status());
        byte[] record = bytes("run/run.json");
        Outcome other = nibble(train + "fp8 --seed 4 --resume");
        assertEquals(2, other.status(), other.err());
        assertEquals(1, other.err().lines().count(), other.err());
        for (String part : List.of("seed is 4 here, but 0 there", "is fp8:", "--other-quantizer")) {
            assertTrue(other.err().contains(part), other.err());
        }
        assertArrayEquals(record, bytes("run/run.json"));
        Outcome asked = nibble(train + "fp8 --steps 7 --resume --other-quantizer");
        assertEquals(2, asked.status(), "--steps is given twice");
        Outcome accepted = nibble((train + "fp8 --resume --other-quantizer").replace("--steps 6", "--steps 7"));
        assertEquals(0, accepted.status(), accepted.err());
        assertTrue(accepted.err().contains("what the replaced quantizers had learned is dropped"), accepted.err());
    }

    @Test
    void damagedCheckpointsAreAFailure() throws IOException {
        String train = "train " + TINY + " --quantizer fp32 --out @run";
        assertEquals(0, nibble(train).status());
        for (String step : List.of("000000", "000006")) {
            Files.writeString(folder.resolve("run/checkpoints/step-" + step + "/model.safetensors"), "x");
        }
        Outcome outcome = nibble(train + " --resume");
        assertEquals(1, outcome.status(), outcome.err());
        assertTrue(outcome.err().startsWith("nibble: no checkpoint in "), outcome.err());
        assertEquals(1, nibble("export @run --out @f.safetensors").status());
        assertEquals(
                1,
                nibble("export @run/checkpoints/step-000006 --out @f.safetensors")
                        .status());
        assertFalse(Files.exists(folder.resolve("f.safetensors")));
    }

    @Test
    void exportTakesARunOrACheckpoint() throws IOException {
        assertEquals(0, nibble("train " + TINY + " --quantizer fp32 --out @run").status());
        Outcome fp32 = nibble("export @run --out @a.safetensors --json");
        assertEquals(0, fp32.status(), fp32.err());
        assertEquals(6, fp32.json().at("/step").asInt());
        assertTrue(fp32.json().at("/huggingFaceNames").asBoolean());
        assertEquals(12, fp32.json().at("/tensors").asInt());
        assertEquals(0, nibble("export @run/checkpoints --out @b.safetensors").status());
        assertEquals(
                0,
                nibble("export @run/checkpoints/step-000006 --out @c.safetensors")
                        .status());
        assertArrayEquals(bytes("a.safetensors"), bytes("b.safetensors"));
        assertArrayEquals(bytes("a.safetensors"), bytes("c.safetensors"));
        Outcome bf16 = nibble("export @run --out @d.safetensors --dtype bf16");
        assertTrue(bf16.out().contains("12 tensors, 25,184 parameters as bf16, with Hugging Face's names"), bf16.out());
        Outcome int4 = nibble("export @run --out @e.safetensors --format int4");
        assertTrue(int4.out().contains("19 tensors, 25,184 parameters as fp32 and int4 codes"), int4.out());
        try (SafetensorsFile file = SafetensorsFile.open(folder.resolve("e.safetensors"))) {
            assertEquals(
                    Shape.of(48, 16),
                    file.tensor("model.layers.0.mlp.up_proj.weight_packed").shape());
        }
        Outcome whole = nibble("export @run --out @model --json");
        assertEquals(0, whole.status(), whole.err());
        assertTrue(whole.json().at("/files/1").asText().endsWith("config.json"), whole.out());
        assertArrayEquals(bytes("a.safetensors"), bytes("model/model.safetensors"));
        assertTrue(Files.readString(folder.resolve("model/config.json")).contains("LlamaForCausalLM"));
        Outcome nowhere = nibble("export @run --out @no/model");
        assertEquals(1, nowhere.status());
        assertTrue(nowhere.err().contains("does not exist"), nowhere.err());
        Outcome inspect = nibble("inspect @d.safetensors --tensor model.layers.0.self_attn.q_proj.weight --role weight"
                + " --quantizer bf16 --json");
        assertEquals(0, inspect.status(), inspect.err());
        assertEquals(32, inspect.json().at("/shape/1").asInt());
        assertEquals(0, inspect.json().at("/meanRelativeError").asDouble(), "bf16 weights are bf16 already");
    }

    @Test
    void tensorOfAFileIsInspectedLikeAnArray() {
        float[] values = new float[60]; // [3, 4, 5]
        for (int i = 0; i < values.length; i++) {
            values[i] = (i - 30) * 0.17f;
        }
        Shape shape = Shape.of(3, 4, 5);
        NpyFiles.floats(folder, "x.npy", shape, values);
        SafetensorsWriter.write(
                folder.resolve("x.safetensors"),
                Map.of(),
                List.of(
                        TensorContent.floats("x", ElementType.F32, shape, () -> values),
                        TensorContent.floats("none", ElementType.F32, Shape.of(0, 2), () -> new float[0]),
                        TensorContent.floats("inf", ElementType.F32, Shape.of(1), () -> new float[] {1f / 0}),
                        TensorContent.bytes("ids", ElementType.I32, Shape.of(1), () -> new byte[4])));
        String options = " --quantizer int8-row --samples 3 --role gradOutput --json";
        Outcome npy = nibble("inspect @x.npy" + options);
        Outcome tensor = nibble("inspect @x.safetensors --tensor x" + options);
        assertEquals(0, tensor.status(), tensor.err());
        for (String name : List.of("shape", "snrDb", "cosine", "zeros", "bias", "standardError", "histogram")) {
            assertEquals(npy.json().get(name), tensor.json().get(name), name);
        }
        assertProblem(2, "needs --tensor NAME; known: x, none, inf, ids", "inspect @x.safetensors");
        assertProblem(
                2,
                "holds no tensor 'idx'; known: x, none, inf, ids. Did you mean 'ids'?",
                "inspect @x.safetensors --tensor idx");
        assertProblem(
                2, "'none' has shape [0, 2], but needs at least one element", "inspect @x.safetensors --tensor none");
        assertProblem(1, "'inf'[0] is Infinity", "inspect @x.safetensors --tensor inf");
        assertProblem(1, "tensor 'ids' holds elements of type I32", "inspect @x.safetensors --tensor ids");
    }

    private void assertProblem(int status, String message, String command) {
        Outcome outcome = nibble(command);
        assertEquals(status, outcome.status(), outcome.err());
        assertTrue(outcome.err().contains(message), outcome.err());
        assertEquals(1, outcome.err().lines().count(), outcome.err());
    }

    @Test
    void compareWritesNoCheckpoints() {
        Outcome outcome =
                nibble("compare " + TINY.replace("--steps 6", "--steps 1") + " --quantizers fp32 --out @compare");
        assertEquals(0, outcome.status(), outcome.err());
        assertFalse(Files.exists(folder.resolve("compare/fp32/checkpoints")));
        assertEquals(2, nibble("compare --resume --out @compare").status());
    }

    @Test
    void helpTeachesCheckpoints() {
        String help = Outcome.of("train", "--help").out();
        for (String part : List.of("--resume", "--other-quantizer", "train.checkpointEvery", "checkpoints.old")) {
            assertTrue(help.contains(part), part);
        }
        assertTrue(
                Arrays.stream(Outcome.of("export", "--help").out().split("\n")).anyMatch(l -> l.contains("--dtype")));
    }
}
