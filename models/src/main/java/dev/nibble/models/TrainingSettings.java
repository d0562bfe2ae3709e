package dev.nibble.models;

import static dev.nibble.models.Setting.integer;
import static dev.nibble.models.Setting.number;

import dev.nibble.models.train.FineTuning;
import dev.nibble.models.train.Schedule;
import dev.nibble.models.train.TrainingSpec;
import dev.nibble.spi.AdamW;
import dev.nibble.spi.UpdateRule;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * The settings {@code train.*}, the same in every preset but for their defaults.
 *
 * @param steps optimizer steps
 * @param learningRate largest learning rate
 * @param warmup steps until it is reached
 * @param weightDecay decoupled weight decay
 */
record TrainingSettings(int steps, String learningRate, int warmup, String weightDecay) {
    /** Path of the decay of the weights' averages. */
    static final String EMA = "train.ema";

    private static final double FLOOR = 0.1; // share of the learning rate that is left at the end

    /** {@return whether values of settings, unchecked, ask for averages of the weights} */
    static boolean keepsAverages(Map<String, String> values) {
        String decay = values.getOrDefault(EMA, "0");
        try {
            return (float) Double.parseDouble(decay) != 0; // as the run reads it: 0e0 is none, too
        } catch (NumberFormatException _) {
            return !decay.isEmpty();
        }
    }

    /** {@return the settings of a preset: its own, then these} */
    List<Setting> after(Setting... own) {
        List<Setting> settings = new ArrayList<>(List.of(own));
        settings.add(integer("train.steps", steps, "optimizer steps, unless --steps is given"));
        settings.add(number("train.learningRate", learningRate, "largest learning rate"));
        settings.add(integer("train.warmup", warmup, "steps until the learning rate is reached"));
        settings.add(integer(
                "train.fineTuneSteps", 0, "steps after those, in which a quantizer may spend more bits; 0 for none"));
        settings.add(number(
                "train.fineTunePeak", "0", "largest learning rate of those; 0 for the value of train.learningRate"));
        settings.add(number("train.weightDecay", weightDecay, "decoupled weight decay of the linear layers"));
        settings.addAll(OptimizerSettings.SETTINGS);
        settings.add(number("train.clip", "1.0", "largest norm of all gradients that is not scaled down"));
        settings.add(number(
                EMA,
                "0",
                "decay of the moving average of the weights, such as 0.999: evaluated too, and exported; 0 for none"));
        settings.add(integer("train.microBatches", 1, "batches whose gradients are added up in a step"));
        settings.add(integer("train.evaluateEvery", 0, "steps between evaluations; 0 for one at the end only"));
        settings.add(
                integer("train.telemetryEvery", 10, "steps between records of how inputs were quantized; 0 for none"));
        settings.add(RecomputeSetting.setting());
        settings.addAll(GuardSettings.SETTINGS);
        settings.addAll(CheckpointSettings.SETTINGS);
        settings.addAll(TensorBoardFile.SETTINGS);
        return List.copyOf(settings);
    }

    /**
     * {@return how to train}
     *
     * @throws IllegalArgumentException naming a value that does not fit
     */
    TrainingSpec spec(SettingValues values) {
        Problems problems = new Problems();
        problems.check(() -> CheckpointSettings.of(values));
        double learningRate = values.number("train.learningRate");
        double peak = values.number("train.fineTunePeak");
        Optional<UpdateRule> rule = problems.collect(() -> OptimizerSettings.of(values));
        Optional<Schedule> schedule =
                problems.collect(() -> new Schedule(learningRate, values.integer("train.warmup"), FLOOR));
        // a rate that does not fit has been told, and is no reason to tell of fine-tuning
        double anyPeak = schedule.isPresent() && peak == 0 ? learningRate : peak == 0 ? 1 : peak;
        Optional<FineTuning> fineTuning =
                problems.collect(() -> new FineTuning(values.integer("train.fineTuneSteps"), anyPeak));
        Optional<TrainingSpec> spec = problems.collect(() -> new TrainingSpec(
                values.integer("train.steps"),
                values.integer("train.microBatches"),
                schedule.orElse(new Schedule(1, 0, FLOOR)),
                fineTuning.orElse(new FineTuning(0, 1)),
                rule.orElse(new AdamW(0, 0, 1, 0)),
                (float) values.number("train.clip"),
                (float) values.number(EMA),
                values.integer("train.evaluateEvery"),
                values.integer("train.telemetryEvery")));
        problems.throwIfAny();
        return spec.orElseThrow();
    }
}
