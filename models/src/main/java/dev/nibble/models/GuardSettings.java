package dev.nibble.models;

import static dev.nibble.models.Setting.integer;
import static dev.nibble.models.Setting.number;

import java.util.ArrayList;
import java.util.List;
import java.util.SortedMap;

/**
 * The settings {@code guard.*}: see docs/guard.md.
 *
 * @param spike what is done when the loss is far above those before it
 * @param window losses that it is compared with
 * @param deviations how many robust deviations above their median are far
 * @param fallback the quantizer of layers that back off
 * @param backoffSteps steps for which they do; 0 for the rest of the run
 * @param rollbackEvery steps between checkpoints that a run can go back to
 * @param rollbackRate factor of the learning rate after each time
 * @param limit how often the guard may act; 0 for any number
 */
record GuardSettings(
        GuardAction spike,
        int window,
        double deviations,
        QuantizerChoice fallback,
        int backoffSteps,
        int rollbackEvery,
        double rollbackRate,
        int limit) {
    /** Path of the setting that names the quantizer of layers that back off. */
    static final String FALLBACK = "guard.backoff";

    private static final String SPIKE = "guard.spike";
    private static final String WINDOW = "guard.spikeWindow";
    private static final String DEVIATIONS = "guard.spikeDeviations";
    private static final String BACKOFF_STEPS = "guard.backoffSteps";
    private static final String ROLLBACK_EVERY = "guard.rollbackEvery";
    private static final String ROLLBACK_RATE = "guard.rollbackRate";
    private static final String LIMIT = "guard.limit";

    /** The settings, with their defaults. */
    static final List<Setting> SETTINGS = List.of(
            new Setting(
                    SPIKE,
                    Setting.Type.TEXT,
                    "note",
                    "when the loss spikes: ignore, note, stop, skip (the update), backoff or rollback; docs/guard.md"),
            integer(WINDOW, 50, "losses before a step that its loss is compared with"),
            number(DEVIATIONS, "10", "robust deviations above their median from which on a loss is a spike"),
            new Setting(
                    FALLBACK,
                    Setting.Type.TEXT,
                    "bf16",
                    "quantizer of layers that back off, unless layers.PATTERN@backoff names another"),
            integer(BACKOFF_STEPS, 0, "steps for which layers back off; 0 for the rest of the run"),
            integer(ROLLBACK_EVERY, 100, "steps between checkpoints for rollback, if that is a policy"),
            number(ROLLBACK_RATE, "1", "factor of the learning rate after each rollback, in (0, 1]"),
            integer(
                    LIMIT,
                    10,
                    "how often the guard rolls back, or acts otherwise within 100 steps, before the run gives up; 0 for any number"));

    /**
     * {@return the values; the default of a setting that the preset does not have}
     *
     * @throws IllegalArgumentException naming every value that does not fit
     */
    static GuardSettings of(SettingValues given) {
        SortedMap<String, String> texts = given.asMap();
        SETTINGS.forEach(setting -> texts.putIfAbsent(setting.path(), setting.defaultValue()));
        SettingValues values = SettingValues.of(SETTINGS, only(texts));
        Problems problems = new Problems();
        GuardAction spike =
                problems.collect(() -> values.choice(SPIKE, GuardAction.class)).orElse(GuardAction.NOTE);
        QuantizerChoice fallback = problems.collect(() -> QuantizerChoice.parse(values.text(FALLBACK)))
                .orElse(QuantizerChoice.of("bf16"));
        problems.check(() -> values.requireIn(WINDOW, 3, 10_000));
        problems.check(() -> values.requireIn(BACKOFF_STEPS, 0, Integer.MAX_VALUE));
        problems.check(() -> values.requireIn(ROLLBACK_EVERY, 1, Integer.MAX_VALUE));
        problems.check(() -> values.requireIn(LIMIT, 0, Integer.MAX_VALUE));
        double deviations = values.number(DEVIATIONS);
        if (!(deviations > 0)) {
            problems.add("setting " + DEVIATIONS + " is " + deviations + ", but must be above 0");
        }
        double rate = values.number(ROLLBACK_RATE);
        if (!(rate > 0 && rate <= 1)) {
            problems.add("setting " + ROLLBACK_RATE + " is " + rate + ", but must be above 0 and at most 1");
        }
        problems.throwIfAny();
        return new GuardSettings(
                spike,
                values.integer(WINDOW),
                deviations,
                fallback,
                values.integer(BACKOFF_STEPS),
                values.integer(ROLLBACK_EVERY),
                rate,
                values.integer(LIMIT));
    }

    private static SortedMap<String, String> only(SortedMap<String, String> texts) {
        List<String> own = new ArrayList<>(SETTINGS.stream().map(Setting::path).toList());
        texts.keySet().retainAll(own);
        return texts;
    }

    /** {@return whether a policy of the run is to do this} */
    boolean does(GuardAction action, NonFinitePolicy nonFinite) {
        return spike == action || nonFinite.action() == action;
    }
}
