package dev.nibble.models;

import static dev.nibble.models.Setting.number;

import dev.nibble.spi.AdamW;
import dev.nibble.spi.Lion;
import dev.nibble.spi.Names;
import dev.nibble.spi.Sgd;
import dev.nibble.spi.StableAdamW;
import dev.nibble.spi.UpdateRule;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/** The settings {@code train.*} of the optimizer, the same in every preset; weight decay is the preset's. */
final class OptimizerSettings {
    private static final String OPTIMIZER = "train.optimizer";
    private static final String BETA1 = "train.beta1";
    private static final String BETA2 = "train.beta2";
    private static final String EPSILON = "train.epsilon";
    private static final String MOMENTUM = "train.momentum";
    private static final String NESTEROV = "train.nesterov";

    /** The settings that each rule has. */
    private static final Map<String, Set<String>> RULES = new TreeMap<>(Map.of(
            "adamw", Set.of(BETA1, BETA2, EPSILON),
            "stableadamw", Set.of(BETA1, BETA2, EPSILON),
            "lion", Set.of(BETA1, BETA2),
            "sgd", Set.of(MOMENTUM, NESTEROV)));

    /** The settings, with their defaults. */
    static final List<Setting> SETTINGS = List.of(
            new Setting(
                    OPTIMIZER,
                    Setting.Type.TEXT,
                    "adamw",
                    "how weights move: adamw; stableadamw, shorter steps where gradients grow; lion, by sign; sgd"),
            number(BETA1, "0.9", "adamw, stableadamw: decay of the first moment; lion: its share in the direction"),
            number(BETA2, "0.95", "adamw, stableadamw: decay of the second moment; lion: decay of the moment"),
            number(EPSILON, "1e-8", "adamw, stableadamw: added to the root of the second moment"),
            number(MOMENTUM, "0.9", "sgd: share of the last step that is kept; 0 keeps nothing and needs no memory"),
            new Setting(NESTEROV, Setting.Type.BOOLEAN, "false", "sgd: whether its momentum looks one step ahead"));

    private OptimizerSettings() {}

    /**
     * {@return how weights move}
     *
     * @throws IllegalArgumentException naming every value that does not fit, and settings that the rule does not have
     */
    static UpdateRule of(SettingValues values) {
        String name = values.text(OPTIMIZER);
        Set<String> own = RULES.get(name);
        if (own == null) {
            throw new IllegalArgumentException(
                    "setting " + OPTIMIZER + " is '" + name + "'; " + Names.suggest(name, RULES.keySet()));
        }
        List<String> problems = new ArrayList<>();
        for (Setting setting : SETTINGS) {
            String path = setting.path();
            boolean changed = !values.text(path).equals(setting.defaultValue());
            if (changed && !path.equals(OPTIMIZER) && !own.contains(path)) {
                problems.add("setting %s is %s, but %s %s does not have it"
                        .formatted(path, values.text(path), OPTIMIZER, name));
            }
        }
        ConfigurationException.throwIfAny(problems);
        return rule(name, values, (float) values.number("train.weightDecay"));
    }

    private static UpdateRule rule(String name, SettingValues values, float weightDecay) {
        return switch (name) {
            case "sgd" -> new Sgd((float) values.number(MOMENTUM), values.flag(NESTEROV), weightDecay);
            case "lion" -> new Lion((float) values.number(BETA1), (float) values.number(BETA2), weightDecay);
            case "stableadamw" -> new StableAdamW(adamW(values, weightDecay));
            default -> adamW(values, weightDecay);
        };
    }

    private static AdamW adamW(SettingValues values, float weightDecay) {
        return new AdamW(
                (float) values.number(BETA1),
                (float) values.number(BETA2),
                (float) values.number(EPSILON),
                weightDecay);
    }
}
