package dev.nibble.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.models.files.EventRecords;
import java.io.IOException;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;

class TensorBoardFileTests extends ResumeFixture {
    private static RunConfig config() {
        return config("int8-fallback").with("train.tensorboard", "true");
    }

    /** {@return tag to the values that it has, step by step} */
    private Map<String, List<String>> curves(String name) throws IOException {
        Map<String, List<String>> curves = new TreeMap<>();
        for (EventRecords.Event event :
                EventRecords.read(folder.resolve(name).resolve("tensorboard/events.out.tfevents.nibble"))) {
            event.values()
                    .forEach((tag, value) ->
                            curves.computeIfAbsent(tag, _ -> new ArrayList<>()).add(event.step() + ": " + value));
        }
        curves.keySet().removeIf(tag -> tag.startsWith("speed/"));
        return curves;
    }

    @Test
    void everyStepEvaluationAndObservationIsInTheFile() throws IOException {
        RunResult result = train("run", config(), Start.NEW);
        Map<String, List<String>> curves = curves("run");
        assertEquals(
                result.curve().stream()
                        .map(step -> step.step() + ": " + (float) step.loss())
                        .toList(),
                curves.get("loss/train"));
        assertEquals(
                result.evaluations().stream()
                        .map(e -> (e.step() - 1) + ": " + (float) e.validationLoss())
                        .toList(),
                curves.get("loss/validation"));
        for (LayerTelemetry row : result.telemetry()) {
            String tag = "amax/" + row.layer();
            assertTrue(curves.get(tag).contains(row.step() + ": " + (float) row.amax()), tag);
        }
        assertEquals(STEPS, curves.get("optimizer/gradientNorm").size());
    }

    @Test
    void aRunThatGoesOnHasTheCurvesOfTheWhole() throws IOException {
        train("whole", config(), Start.NEW);
        train("broken", config(), Start.NEW, 4);
        train("broken", config(), Start.RESUME);
        assertEquals(curves("whole"), curves("broken"));
    }

    @Test
    void withoutTheSettingThereIsNoFileAndTheSettingChangesNoWeight() {
        train("without", config("int8-fallback"), Start.NEW);
        assertFalse(Files.exists(folder.resolve("without/tensorboard")));
        train("with", config(), Start.NEW);
        snapshot("with").assertSameAs(snapshot("without"));
    }
}
