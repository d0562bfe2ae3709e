package dev.nibble.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.models.checkpoint.CheckpointFile;
import dev.nibble.models.safetensors.SafetensorsFile;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Runs under each optimizer. */
class OptimizerRuleTests extends ResumeFixture {
    /** Settings by which a tiny run learns under each optimizer, separated by blanks. */
    private static RunConfig config(String quantizer, String settings) {
        RunConfig config = config(quantizer);
        for (String setting : settings.split(" ", -1)) {
            String[] parts = setting.split("=", 2);
            config = config.with(parts[0], parts[1]);
        }
        return config;
    }

    private Set<String> names(CheckpointFile of) {
        try (SafetensorsFile file =
                SafetensorsFile.open(checkpoint("whole", STEPS).file(of))) {
            return new TreeSet<>(file.tensors().keySet());
        }
    }

    @ParameterizedTest
    @CsvSource({
        "train.optimizer=stableadamw train.learningRate=0.01, 2",
        "train.optimizer=sgd train.learningRate=0.3, 1",
        "train.optimizer=sgd train.learningRate=0.3 train.nesterov=true train.momentum=0.5, 1",
        "train.optimizer=sgd train.learningRate=0.5 train.momentum=0, 0",
        "train.optimizer=lion train.learningRate=0.003 train.beta2=0.99, 1"
    })
    void aRunLearnsAndGoesOnToTheSameBits(String settings, int states) {
        RunConfig config = config("int8-block", settings);
        RunResult whole = train("whole", config, Start.NEW);
        assertEquals(RunResult.Status.COMPLETED, whole.status(), whole.message());
        double first = whole.curve().getFirst().loss();
        assertTrue(whole.finalValidationLoss() < first - 0.05, whole.finalValidationLoss() + " after " + first);
        Set<String> expected = new TreeSet<>(Set.of("control"));
        for (String parameter : names(CheckpointFile.MODEL)) {
            List.of(".first", ".second").subList(0, states).forEach(state -> expected.add(parameter + state));
        }
        assertEquals(expected, names(CheckpointFile.OPTIMIZER));
        train("broken", config, Start.NEW, 4);
        assertEquals(
                RunResult.Status.COMPLETED,
                train("broken", config, Start.RESUME).status());
        snapshot("broken").assertSameAs(snapshot("whole"));
    }

    @Test
    void rulesGiveOtherWeightsThanEachOther() {
        double[] losses = Arrays.stream(new String[] {"adamw", "stableadamw", "sgd", "lion"})
                .mapToDouble(rule -> train(rule, config("fp32", "train.optimizer=" + rule), Start.NEW)
                        .finalTrainLoss())
                .toArray();
        assertEquals(4, Arrays.stream(losses).distinct().count(), Arrays.toString(losses));
    }

    @Test
    void anotherOptimizerIsAnotherConfiguration() {
        train("run", config("fp32", "train.optimizer=lion"), Start.NEW, 3);
        IllegalArgumentException e = assertThrows(
                IllegalArgumentException.class,
                () -> train("run", config("fp32", "train.optimizer=sgd"), Start.RESUME));
        assertTrue(e.getMessage().contains("train.optimizer is sgd here, but lion there"), e.getMessage());
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "train.optimizer=adam|setting train.optimizer is 'adam'; known: adamw, lion, sgd, stableadamw. Did you mean 'adamw'?",
                "train.beta1=1|AdamW needs 0 <= beta < 1",
                "train.optimizer=lion train.beta2=-1|Lion needs 0 <= beta < 1",
                "train.optimizer=sgd train.momentum=1|SGD needs 0 <= momentum < 1",
                "train.optimizer=sgd train.momentum=0 train.nesterov=true|above 0 with nesterov",
                "train.optimizer=stableadamw train.epsilon=0|AdamW needs",
                "train.optimizer=lion train.epsilon=1|setting train.epsilon is 1, but train.optimizer lion does not have it",
                "train.momentum=0.5|setting train.momentum is 0.5, but train.optimizer adamw does not have it"
            })
    void whatDoesNotFitIsRefused(String settings, String message) {
        IllegalArgumentException e =
                assertThrows(IllegalArgumentException.class, () -> runs.check(config("fp32", settings)));
        assertTrue(e.getMessage().contains(message), e.getMessage());
    }

    @ParameterizedTest
    @ValueSource(strings = {"text", "images"})
    void everyPresetHasTheSettings(String preset) {
        List<String> paths =
                runs.preset(preset).settings().stream().map(Setting::path).toList();
        assertFalse(OptimizerSettings.SETTINGS.isEmpty());
        OptimizerSettings.SETTINGS.forEach(setting -> assertTrue(paths.contains(setting.path()), setting.path()));
    }
}
