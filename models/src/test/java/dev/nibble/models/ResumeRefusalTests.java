package dev.nibble.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.error.FormatException;
import dev.nibble.error.NibbleException;
import dev.nibble.models.checkpoint.Checkpoint;
import dev.nibble.models.checkpoint.CheckpointFile;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class ResumeRefusalTests extends ResumeFixture {
    @Test
    void stepsMayGrowAndNotShrink() {
        train("run", config("fp32").withSteps(4), Start.NEW);
        RunResult grown = train("run", config("fp32"), Start.RESUME);
        assertEquals(STEPS, grown.steps());
        assertTrue(notices.getLast().startsWith("the steps grow from 4 to 7"), notices.toString());
        IllegalArgumentException e = assertThrows(
                IllegalArgumentException.class,
                () -> train("run", config("fp32").withSteps(5), Start.RESUME));
        assertTrue(e.getMessage().contains("steps is 5 here, but 7 there, and may only grow"), e.getMessage());
    }

    @Test
    void everyDifferenceIsNamedAndNothingIsWritten() throws IOException {
        train("run", config("fp32"), Start.NEW, 2);
        RunSnapshot before = new RunSnapshot(folder.resolve("run"), 2);
        String record = Files.readString(folder.resolve("run/run.json"));
        Path text = folder.resolve("other.txt");
        Files.writeString(text, "other words ".repeat(1000));
        IllegalArgumentException e = assertThrows(
                IllegalArgumentException.class,
                () -> train(
                        "run",
                        config("int8-row")
                                .withSeed(6)
                                .with("data.path", text.toString())
                                .with("train.clip", "2")
                                .with("train.evaluateEvery", "2"),
                        Start.RESUME));
        assertEquals(
                "checkpoint " + checkpoint("run", 2).path()
                        + " is one of another configuration and cannot be continued: seed is 6 here, but 5 there;"
                        + " train.clip is 2 here, but 1.0 there; the data has other contents; the quantizer of 4 layers"
                        + " (blocks.0.attn.out to blocks.0.mlp.gateUp) is int8-row here, but fp32 there; another quantizer"
                        + " must be asked for (nibble train: --other-quantizer)",
                e.getMessage().replaceAll("int8-row:\\S+", "int8-row"));
        new RunSnapshot(folder.resolve("run"), 2).assertSameAs(before);
        assertEquals(record, Files.readString(folder.resolve("run/run.json")));
    }

    @Test
    void sameTextUnderAnotherPathIsTheSameData() throws IOException {
        Path text = Files.writeString(folder.resolve("a.txt"), "some words here ".repeat(1000));
        train("run", config("fp32").with("data.path", text.toString()), Start.NEW, 1);
        Path moved = Files.move(text, folder.resolve("b.txt"));
        RunResult result = train("run", config("fp32").with("data.path", moved.toString()), Start.RESUME);
        assertEquals(RunResult.Status.COMPLETED, result.status(), result.message());
    }

    @Test
    void damagedNewestIsNamedAndTheOneBeforeIsUsed() throws IOException {
        RunConfig config = config("luq").with("train.checkpointEvery", "1").with("train.checkpointKeep", "9");
        train("whole", config, Start.NEW);
        train("run", config, Start.NEW, 2);
        Path damaged = checkpoint("run", 2).file(CheckpointFile.MODEL);
        byte[] bytes = Files.readAllBytes(damaged);
        bytes[bytes.length - 1] ^= 1;
        Files.write(damaged, bytes);
        RunResult result = train("run", config, Start.RESUME);
        assertEquals(RunResult.Status.COMPLETED, result.status(), result.message());
        assertTrue(notices.getFirst().contains("step-000002 is damaged: model.safetensors is not what was written"));
        assertEquals("continuing " + checkpoint("run", 1).path() + " after step 1", notices.get(1));
        snapshot("run").assertSameAs(snapshot("whole"));
        assertTrue(Files.exists(folder.resolve("run/checkpoints/step-000002.damaged")));
        checkpoint("run", 2).verify();
    }

    @Test
    void allDamagedIsAFailureBeforeAnythingIsWritten() throws IOException {
        train("run", config("fp32"), Start.NEW, 1);
        String metrics = Files.readString(folder.resolve("run/metrics.csv"));
        for (int step = 0; step < 2; step++) {
            Files.writeString(checkpoint("run", step).file(CheckpointFile.HISTORY), "{}");
        }
        FormatException e = assertThrows(FormatException.class, () -> train("run", config("fp32"), Start.RESUME));
        assertTrue(e.getMessage().startsWith("no checkpoint in "), e.getMessage());
        assertEquals(metrics, Files.readString(folder.resolve("run/metrics.csv")));
    }

    /** The hashes are right, as those of a hostile checkpoint may be. */
    @ParameterizedTest
    @ValueSource(
            strings = {
                "\"schema\" : 1|\"schema\" : 2|is of schema 2, but this version reads schema 1",
                "\"step\" : 1|\"step\" : 3|'nextStep' is 1, but must be in 3..3",
                "\"seed\" : 5|\"seed\" : 6|'configurationHash' is not the hash of 'configuration'",
                "philox4x32-10|mt19937|'generator' is unknown",
                "\"trainedSteps\"|\"trained\"|has no 'trainedSteps'",
                "\"step\" : 1|\"step\" : \"1\"|'step' is the text '1', but must be a whole number",
                "\"head\" : 1|\"head\" : -1|'head' is -1, but must be in 0..1",
                "{|[|is no JSON object"
            })
    void stateThatDoesNotFitIsRefused(String change) throws IOException {
        List<String> parts = List.of(change.split("\\|", -1));
        train("run", config("fp32"), Start.NEW, 1);
        Checkpoint checkpoint = checkpoint("run", 1);
        Path state = checkpoint.file(CheckpointFile.STATE);
        String text = Files.readString(state);
        assertTrue(text.contains(parts.getFirst()), text);
        Files.writeString(state, text.replace(parts.getFirst(), parts.get(1)));
        rehash(checkpoint);
        FormatException e = assertThrows(FormatException.class, () -> train("run", config("fp32"), Start.RESUME));
        assertTrue(e.getMessage().contains(state.toString()), e.getMessage());
        assertTrue(e.getMessage().contains(parts.getLast()), e.getMessage());
    }

    @Test
    void tensorsOfAnotherModelAreAFailureThatNamesThem() throws IOException {
        train("run", config("fp32"), Start.NEW, 1);
        Checkpoint checkpoint = checkpoint("run", 1);
        Path model = checkpoint.file(CheckpointFile.MODEL);
        Files.copy(checkpoint.file(CheckpointFile.QUANTIZER), model, StandardCopyOption.REPLACE_EXISTING);
        rehash(checkpoint);
        RunResult result = train("run", config("fp32"), Start.RESUME);
        assertEquals(RunResult.Status.FAILED, result.status());
        assertEquals(model + " has no tensor 'embedding.weight', which this model has", result.message());
    }

    @Test
    void fileInThePlaceOfTheCheckpointsFailsBeforeAnythingIsWritten() throws IOException {
        Files.createDirectories(folder.resolve("run"));
        Path file = Files.writeString(folder.resolve("run/checkpoints"), "a file");
        NibbleException e = assertThrows(NibbleException.class, () -> train("run", config("fp32"), Start.NEW));
        assertEquals(file + " is a file, but must be a folder", e.getMessage());
        assertEquals(List.of("checkpoints"), names(folder.resolve("run")));
    }

    @Test
    void diskThatIsFullAtTheFirstCheckpointFailsBeforeTheFirstStep() throws IOException {
        // a folder in the place of a file that is to be written is as good as a full disk
        Path temporary = folder.resolve(
                "run/checkpoints/.step-000000.new." + ProcessHandle.current().pid() + ".tmp");
        RunResult result = new RunFolder(folder.resolve("run"), ORIGIN)
                .train(
                        runs,
                        config("fp32"),
                        new RunListener() {
                            @Override
                            public void started(RunInfo info) {
                                try {
                                    Files.createDirectories(temporary.resolve("optimizer.safetensors"));
                                } catch (IOException e) {
                                    throw new AssertionError(e);
                                }
                            }
                        },
                        Start.NEW);
        assertEquals(RunResult.Status.FAILED, result.status());
        assertEquals(0, result.steps());
        assertTrue(result.message().contains("step-000000 cannot be written: "), result.message());
        assertTrue(result.message().endsWith("; there is no other checkpoint"), result.message());
        assertEquals(List.of(), names(folder.resolve("run/checkpoints")));
    }

    @Test
    void settingsOutOfRangeAreRefused() {
        RunConfig config = config("fp32")
                .with("train.checkpointEvery", "-1")
                .with("train.checkpointMinutes", "-2")
                .with("train.checkpointKeep", "0");
        String message = assertThrows(IllegalArgumentException.class, () -> runs.check(config))
                .getMessage();
        for (String part : List.of("checkpointEvery is -1", "checkpointMinutes is -2.0", "checkpointKeep is 0")) {
            assertTrue(message.contains(part), message);
        }
    }
}
