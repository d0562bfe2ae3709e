package dev.nibble.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.report.ExecutionRow;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Layers that change their quantizer while a run goes on. */
class ScheduleTests extends ResumeFixture {
    private static List<Double> losses(RunResult result) {
        return result.curve().stream().map(StepRecord::loss).toList();
    }

    private static Set<String> inputFormats(RunResult result, String layer) {
        return result.execution().stream()
                .filter(row -> row.layer().equals(layer) && row.product().equals("output"))
                .map(ExecutionRow::requestedFormat)
                .collect(Collectors.toSet());
    }

    @Test
    void layersHaveTheirNewQuantizerFromTheStepOn() {
        RunResult plain = train("plain", config("int8-row"), Start.NEW);
        RunResult result = train("run", config("int8-row").with("layers.blocks.*.mlp.*@4", "fp8"), Start.NEW);
        assertEquals(RunResult.Status.COMPLETED, result.status(), result.message());
        assertEquals(losses(plain).subList(0, 4), losses(result).subList(0, 4));
        assertNotEquals(losses(plain).get(4), losses(result).get(4));
        RunEvent event = result.events().getFirst();
        assertEquals(1, result.events().size());
        assertEquals(4, event.step());
        assertEquals(RunEvent.Cause.SCHEDULE, event.cause());
        assertEquals(List.of("blocks.0.mlp.gateUp", "blocks.0.mlp.down"), event.layers());
        assertTrue(
                event.message()
                        .startsWith(
                                "from step 4 on: 2 layers (blocks.0.mlp.gateUp to blocks.0.mlp.down) from int8-row"),
                event.message());
        assertEquals(List.of(event.message()), notices);
        assertEquals(2, inputFormats(result, "blocks.0.mlp.down").size());
        assertEquals(1, inputFormats(result, "blocks.0.attn.qkv").size());
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "luq:hindsight=0.1|fp8:scaling=delayed",
                "fp8:scaling=delayed|int8-fallback:block=16,contextBits=10",
                "int8-fallback:block=16|fp32"
            })
    void resumedRunHasTheBitsOfOneWithoutABreak(String pair) {
        List<String> quantizers = List.of(pair.split("\\|"));
        RunConfig config = config(quantizers.getFirst())
                .with("layers.blocks.*@3", quantizers.get(1))
                .with("layers.*attn*@5", quantizers.getFirst());
        RunResult whole = train("whole", config, Start.NEW);
        assertEquals(RunResult.Status.COMPLETED, whole.status(), whole.message());
        for (int questions : List.of(2, 1, 1, 2, 1)) {
            train("broken", config, Start.RESUME, questions);
        }
        RunResult broken = train("broken", config, Start.RESUME);
        snapshot("broken").assertSameAs(snapshot("whole"));
        assertEquals(whole.events(), broken.events());
        assertEquals(whole.telemetry(), broken.telemetry());
        assertEquals(2, whole.events().size());
    }

    /** A schedule does what a user did by hand until now. */
    @ParameterizedTest
    @CsvSource({"int8-fallback:block=16,fp8:scaling=delayed", "luq,int8-row"})
    void changeIsThatOfAResumptionUnderAnotherQuantizer(String first, String second) {
        RunConfig before = config(first).with("train.evaluateEvery", "0");
        train("byHand", before, Start.NEW, 3);
        train("byHand", before.withQuantizer(QuantizerChoice.parse(second)), Start.RESUME_UNDER_ANOTHER_QUANTIZER);
        train("scheduled", before.with("layers.blocks.*@3", second), Start.NEW);
        snapshot("scheduled").assertSameAs(snapshot("byHand"));
    }

    @Test
    void quantizedAttentionChanges() {
        RunConfig config = config("fp8:scaling=delayed").with("model.attention", "quantized");
        RunResult result = train("run", config.with("layers.*attn*@2", "int8-row"), Start.NEW);
        assertEquals(RunResult.Status.COMPLETED, result.status(), result.message());
        assertEquals(2, inputFormats(result, "blocks.0.attn.mix").size());
    }

    @Test
    void fineTuningMayHaveItsOwnQuantizers() {
        RunConfig config = config("luq").withSteps(4).with("train.fineTuneSteps", "3");
        RunResult result = train("run", config.with("layers.blocks.*@fineTune", "bf16"), Start.NEW);
        assertEquals(4, result.events().getFirst().step());
        assertEquals(3, result.fineTuneSteps());
        RunResult same = train("same", config.with("layers.blocks.*@4", "bf16"), Start.NEW);
        assertEquals(losses(same), losses(result));
        snapshot("same").assertSameAs(snapshot("run"));
    }

    @Test
    void laterMomentsWinOverLaterLines() {
        RunConfig config = config("int8-row").with("layers.*.down@4", "fp8").with("layers.*.down", "bf16");
        PrecisionSchedule precision = runs.prepare(config).precision();
        assertEquals("bf16", precision.at("blocks.0.mlp.down", 3).label());
        assertTrue(precision.at("blocks.0.mlp.down", 4).label().startsWith("fp8"));
        assertTrue(precision.labels().get("blocks.0.mlp.down").startsWith("bf16, from step 4 on fp8"));
        assertEquals("fp32", precision.at("head", 4).label());
    }

    @Test
    void anotherScheduleIsAnotherConfiguration() {
        RunConfig config = config("int8-row");
        train("run", config.with("layers.*.down@5", "bf16"), Start.NEW, 2);
        RunConfig other = config.with("layers.*.down@4", "bf16");
        IllegalArgumentException e =
                assertThrows(IllegalArgumentException.class, () -> train("run", other, Start.RESUME));
        assertTrue(e.getMessage().contains("from step 4 on bf16 here, but "), e.getMessage());
        notices.clear();
        train("run", other, Start.RESUME_UNDER_ANOTHER_QUANTIZER);
        assertTrue(notices.stream().noneMatch(notice -> notice.contains("is dropped")), notices.toString());
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "*@soon|'soon' is no moment",
                "*@-1|'-1' is no moment",
                "blocks.*@7|layer pattern 'blocks.*@7' begins at step 7, but the run has 7 steps",
                "blocks.*@fineTune|begins with fine-tuning, but there is none; set train.fineTuneSteps",
                "blocks.*@backoff|is for layers that back off, but no policy lets them",
                "blocs.*@3|layer pattern 'blocs.*' matches no layer"
            })
    void scheduleThatCannotBeIsRefused(String key, String message) {
        IllegalArgumentException e = assertThrows(
                IllegalArgumentException.class,
                () -> runs.check(config("int8-row").with("layers." + key, "bf16")));
        assertTrue(e.getMessage().contains(message), e.getMessage());
    }

    @Test
    void recipeKeepsTheScheduleAndNamesTheLineOfAProblem() throws IOException {
        RunConfig config = config("int8-row").with("layers.*.down@4", "fp8").with("layers.*.down@5", "bf16");
        Path file = Files.writeString(folder.resolve("a.yaml"), runs.recipe(config));
        assertEquals(config.overrides(), runs.readRecipe(file).config().overrides());
        Path wrong = Files.writeString(
                folder.resolve("b.yaml"), "preset: text\nlayers:\n  \"blocks.*@40\": fp8\n  \"*@400\": fp8\n");
        Recipe recipe = runs.readRecipe(wrong);
        ConfigurationException e = assertThrows(ConfigurationException.class, () -> runs.check(recipe.config()));
        List<String> located = recipe.located(runs, recipe.config(), e.problems());
        assertEquals(1, located.size());
        assertTrue(
                located.getFirst().startsWith(wrong + ":4: layer pattern '*@400' begins at step 400"),
                located.toString());
    }
}
