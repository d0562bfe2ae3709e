package dev.nibble.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.models.checkpoint.Checkpoint;
import dev.nibble.models.checkpoint.CheckpointFile;
import dev.nibble.models.safetensors.ElementType;
import dev.nibble.models.safetensors.SafetensorsFile;
import dev.nibble.models.safetensors.SafetensorsWriter;
import dev.nibble.models.safetensors.TensorContent;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class ResumeTests extends ResumeFixture {
    private static List<Object> story(RunResult result) {
        List<Object> story = new ArrayList<>(result.evaluations());
        result.curve()
                .forEach(step -> story.addAll(List.of(step.step(), step.loss(), step.gradientNorm(), step.phase())));
        story.addAll(result.telemetry());
        story.addAll(result.execution());
        story.addAll(List.of(result.steps(), result.finalTrainLoss(), result.finalValidationLoss()));
        story.add(result.savedActivationBytes());
        return story;
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "fp32",
                "bf16",
                "luq",
                "luq:hindsight=0.1",
                "int8-row",
                "int8-fallback:block=16",
                "fp8",
                "fp8:scaling=delayed"
            })
    void resumedRunHasTheBitsOfOneWithoutABreak(String quantizer) {
        RunResult whole = train("whole", config(quantizer), Start.NEW);
        assertEquals(RunResult.Status.COMPLETED, whole.status(), whole.message());
        // after step 0, in the evaluation after 3 steps, after step 4
        for (int questions : List.of(1, 2, 2)) {
            assertEquals(
                    RunResult.Status.INTERRUPTED,
                    train("broken", config(quantizer).withThreads(questions), Start.RESUME, questions)
                            .status());
        }
        RunResult broken = train("broken", config(quantizer), Start.RESUME);
        assertEquals(RunResult.Status.COMPLETED, broken.status(), broken.message());
        snapshot("broken").assertSameAs(snapshot("whole"));
        assertEquals(story(whole), story(broken));
        assertEquals(1 + STEPS, snapshot("broken").metrics().size());
    }

    @Test
    void quantizedAttentionIsResumed() {
        RunConfig config = config("fp8:scaling=delayed").with("model.attention", "quantized");
        train("whole", config, Start.NEW);
        train("broken", config, Start.NEW, 2);
        train("broken", config, Start.RESUME);
        snapshot("broken").assertSameAs(snapshot("whole"));
        try (SafetensorsFile state =
                SafetensorsFile.open(checkpoint("broken", STEPS).file(CheckpointFile.QUANTIZER))) {
            assertTrue(state.tensors().keySet().stream().anyMatch(name -> name.startsWith("blocks.0.attn.scores.")));
        }
    }

    /** A negative control: the comparison sees a state vector that is not restored. */
    @ParameterizedTest
    @ValueSource(strings = {"fp8:scaling=delayed", "luq:hindsight=0.1", "int8-fallback:block=16"})
    void changedQuantizerStateChangesTheModel(String quantizer) throws IOException {
        train("whole", config(quantizer), Start.NEW);
        train("broken", config(quantizer), Start.NEW, 2);
        scale(checkpoint("broken", 2), CheckpointFile.QUANTIZER, 0.5f);
        train("broken", config(quantizer), Start.RESUME);
        snapshot("broken").assertOtherModelThan(snapshot("whole"));
    }

    @Test
    void changedMomentsChangeTheModel() throws IOException {
        train("whole", config("fp32"), Start.NEW);
        train("broken", config("fp32"), Start.NEW, 2);
        scale(checkpoint("broken", 2), CheckpointFile.OPTIMIZER, 0.5f);
        train("broken", config("fp32"), Start.RESUME);
        snapshot("broken").assertOtherModelThan(snapshot("whole"));
    }

    private static void scale(Checkpoint checkpoint, CheckpointFile which, float factor) throws IOException {
        Path file = checkpoint.file(which);
        List<TensorContent> tensors = new ArrayList<>();
        try (SafetensorsFile source = SafetensorsFile.open(file)) {
            source.tensors().values().forEach(entry -> {
                float[] values = source.floats(entry.name());
                for (int i = 0; i < values.length; i++) {
                    values[i] *= factor;
                }
                tensors.add(TensorContent.floats(entry.name(), ElementType.F32, entry.shape(), () -> values));
            });
        }
        assertFalse(tensors.isEmpty());
        SafetensorsWriter.write(file, Map.of(), tensors);
        rehash(checkpoint);
    }

    @Test
    void fineTuningIsResumedInItsPhase() {
        RunConfig config = config("luq").withSteps(4).with("train.fineTuneSteps", "3");
        train("whole", config, Start.NEW);
        train("broken", config, Start.NEW, 7);
        assertTrue(Files.exists(checkpoint("broken", 5).path()), notices.toString());
        RunResult broken = train("broken", config, Start.RESUME);
        assertEquals(3, broken.fineTuneSteps());
        snapshot("broken").assertSameAs(snapshot("whole"));
        IllegalArgumentException e =
                assertThrows(IllegalArgumentException.class, () -> train("broken", config.withSteps(6), Start.RESUME));
        assertTrue(e.getMessage().contains("cannot grow any more: fine-tuning has begun"), e.getMessage());
    }

    @Test
    void runWithoutACheckpointStartsAndSaysSo() {
        RunResult result = train("new", config("fp32"), Start.RESUME);
        assertEquals(RunResult.Status.COMPLETED, result.status());
        assertEquals(
                List.of("there is no checkpoint in " + folder.resolve("new/checkpoints")
                        + ": the run starts at its first step"),
                notices);
    }

    @Test
    void completeRunHasNothingLeftToDo() {
        RunResult first = train("run", config("fp32"), Start.NEW);
        RunSnapshot before = snapshot("run");
        RunResult again = train("run", config("fp32"), Start.RESUME);
        snapshot("run").assertSameAs(before);
        assertEquals(story(first), story(again));
        assertEquals(first.curve(), again.curve());
    }

    @Test
    void anotherQuantizerGoesOnWithTheWeightsWhenAskedFor() throws IOException {
        train("run", config("int8-fallback:block=16"), Start.NEW, 2);
        RunConfig other = config("fp8:scaling=delayed").with("layers.blocks.*.down", "int8-fallback:block=16");
        RunResult result = train("run", other, Start.RESUME_UNDER_ANOTHER_QUANTIZER);
        assertEquals(RunResult.Status.COMPLETED, result.status(), result.message());
        assertTrue(
                notices.stream()
                        .anyMatch(notice -> notice.startsWith("the quantizer of 3 layers (blocks.0.attn.out to"
                                        + " blocks.0.mlp.gateUp) is fp8:")
                                && notice.endsWith("what the replaced quantizers had learned is dropped")),
                notices.toString());
        String state = Files.readString(checkpoint("run", STEPS).file(CheckpointFile.STATE));
        assertTrue(state.contains("\"blocks.0.mlp.down\" : 7"), "state that is kept goes on: " + state);
        assertTrue(state.contains("\"blocks.0.attn.qkv\" : 5"), "state that is dropped begins anew: " + state);
    }

    @Test
    void firstCheckpointIsWrittenBeforeTheFirstStep() throws IOException {
        Path run = folder.resolve("run");
        List<List<String>> seen = new ArrayList<>();
        new RunFolder(run, ORIGIN)
                .train(
                        runs,
                        config("fp32").withSteps(1),
                        new RunListener() {
                            @Override
                            public void step(StepRecord step) {
                                seen.add(names(run.resolve("checkpoints")));
                            }
                        },
                        Start.NEW);
        assertEquals(List.of(List.of("step-000000")), seen);
        assertEquals(List.of("best", "step-000000", "step-000001"), names(run.resolve("checkpoints")));
        // another run in the folder begins anew, and what was there is kept
        train("run", config("fp32").withSteps(2), Start.NEW);
        assertEquals(
                List.of("the checkpoints of an earlier run in this folder are now in "
                        + run.resolve("checkpoints.old")),
                notices);
        assertEquals(List.of("best", "step-000000", "step-000002"), names(run.resolve("checkpoints")));
        assertEquals(List.of("best", "step-000000", "step-000001"), names(run.resolve("checkpoints.old")));
    }

    @Test
    void newestAndBestAreKept() {
        RunConfig config = config("fp32").with("train.checkpointEvery", "2").with("train.learningRate", "0.000001");
        RunResult result = train("run", config.with("train.evaluateEvery", "1"), Start.NEW);
        int best = result.evaluations().stream()
                .min(Comparator.comparingDouble(Evaluation::validationLoss))
                .orElseThrow()
                .step();
        List<String> expected = new ArrayList<>(List.of("best", "step-000006", "step-000007"));
        if (best < 6) {
            expected.add(1, "step-%06d".formatted(best));
        }
        assertEquals(expected, names(folder.resolve("run/checkpoints")));
        train("last", config.with("train.checkpointBest", "false").with("train.checkpointKeep", "1"), Start.NEW);
        assertEquals(List.of("step-000007"), names(folder.resolve("last/checkpoints")));
    }
}
