package dev.nibble.models;

import static dev.nibble.models.Setting.integer;
import static dev.nibble.models.Setting.number;

import java.util.ArrayList;
import java.util.List;
import java.util.SortedMap;

/**
 * When a run that leaves files writes checkpoints besides the first and the last one, and which it keeps.
 *
 * @param everySteps steps between two; 0 for no such rule
 * @param everyMinutes minutes between two; 0 for no such rule
 * @param keep how many of the newest are kept
 * @param best whether one is written when the validation loss is the lowest so far, and kept
 */
record CheckpointSettings(int everySteps, double everyMinutes, int keep, boolean best) {
    private static final String STEPS = "train.checkpointEvery";
    private static final String MINUTES = "train.checkpointMinutes";
    private static final String KEEP = "train.checkpointKeep";
    private static final String BEST = "train.checkpointBest";

    /** The settings, with their defaults. */
    static final List<Setting> SETTINGS = List.of(
            integer(STEPS, 0, "steps between checkpoints; 0 for the first, the last and those that follow"),
            number(MINUTES, "10", "minutes between checkpoints; 0 for none by the clock"),
            integer(KEEP, 2, "newest checkpoints that are kept"),
            new Setting(
                    BEST,
                    Setting.Type.BOOLEAN,
                    "true",
                    "whether the lowest validation loss so far gets a checkpoint, which is kept"));

    /**
     * {@return the values; the default of a setting that the preset does not have}
     *
     * @throws IllegalArgumentException naming every value that is out of range
     */
    static CheckpointSettings of(SettingValues values) {
        SortedMap<String, String> texts = values.asMap();
        SETTINGS.forEach(setting -> texts.putIfAbsent(setting.path(), setting.defaultValue()));
        int steps = Integer.parseInt(texts.get(STEPS));
        double minutes = Double.parseDouble(texts.get(MINUTES));
        int keep = Integer.parseInt(texts.get(KEEP));
        List<String> problems = new ArrayList<>();
        if (steps < 0) {
            problems.add("setting " + STEPS + " is " + steps + ", but must be 0 (no such rule) or more");
        }
        if (!(minutes >= 0)) {
            problems.add("setting " + MINUTES + " is " + minutes + ", but must be 0 (no such rule) or more");
        }
        if (keep < 1) {
            problems.add("setting " + KEEP + " is " + keep + ", but must be 1 or more");
        }
        ConfigurationException.throwIfAny(problems);
        return new CheckpointSettings(steps, minutes, keep, Boolean.parseBoolean(texts.get(BEST)));
    }
}
